"""What the user wrote: the configuration and the CSV, parsed and checked against the names that exist."""
