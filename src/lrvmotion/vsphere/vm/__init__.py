"""Move a VM: the RelocateSpec, prechecks, following its task, the proof after it, what is carried over."""
