"""One thin verb per command."""
