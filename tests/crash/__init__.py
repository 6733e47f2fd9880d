"""The crash matrix: death everywhere, and everything put back; see docs/safety.md."""
