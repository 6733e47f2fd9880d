"""The commands joined up: connections, the plan, the run, the check, the first contact, the support bundle."""
