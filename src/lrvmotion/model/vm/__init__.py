"""VMs: how they are named, what they are for, what does not follow them."""
