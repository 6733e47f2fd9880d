"""The plan, its changes as a tree and its forecast on the screen; or one JSON object."""
