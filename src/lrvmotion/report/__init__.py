"""What became of a run, as folds over its events and records; and what is left out before it is sent to others."""
