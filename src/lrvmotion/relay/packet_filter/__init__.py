"""The relay host's own packet filter: what in it stops vMotion, tried and read; and its port opened by its own tool."""
