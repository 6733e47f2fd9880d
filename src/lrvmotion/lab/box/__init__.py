"""A relay host: a small Linux machine of its own, on the same kernel."""
