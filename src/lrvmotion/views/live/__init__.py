"""The live screen of a run: a fold of its events, the lines of the VMs, the relays."""
