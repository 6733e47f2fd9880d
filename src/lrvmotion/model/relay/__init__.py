"""Relay hosts as they are, and the relay that is wanted on one."""
