"""Events as plain lines, as the text log of a run and as NDJSON."""
