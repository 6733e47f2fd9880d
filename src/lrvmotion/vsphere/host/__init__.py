"""A host as a target: options, network, routes, power; esxcli."""
