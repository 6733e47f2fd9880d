"""What is recorded: the write-ahead log of settings, and the files of a run beside it."""
