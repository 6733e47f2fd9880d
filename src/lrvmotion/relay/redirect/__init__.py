"""The packet filter rules that bring new connections to the relay: written, and read back structurally."""
