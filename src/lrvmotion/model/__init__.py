"""What is known: both inventories, the circuit, the metadata of VMs. Pure values; nothing here decides or does."""
