"""The relays while VMs move: watched, capped, verified to be in the path, bypassed where one is lost."""
