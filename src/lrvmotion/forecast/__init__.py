"""How fast and how long: TCP throughput, pre-copy, and the correction by past moves. Pure."""
