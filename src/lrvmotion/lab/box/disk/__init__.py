"""The disk of a relay host: what lies on it beside the machine's own files, and what became of it."""
