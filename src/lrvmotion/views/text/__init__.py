"""What every view shares: the consoles and the standard streams; numbers, settings and states in words."""
