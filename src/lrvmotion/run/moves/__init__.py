"""The moves of a run, driven: who is asked meanwhile, what is known and told of each VM, what goes wrong."""
