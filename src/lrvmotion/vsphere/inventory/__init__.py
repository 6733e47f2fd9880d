"""Read one vCenter's inventory: names of all, full properties of the chosen VMs."""
