"""What is known: both inventories, the circuit, relay hosts, VMs; what is wanted of a relay. Pure: nothing decides."""
