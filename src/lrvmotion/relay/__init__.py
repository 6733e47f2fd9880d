"""The relay: the shipped file, its redirect rules, and the box it runs on as a target."""
