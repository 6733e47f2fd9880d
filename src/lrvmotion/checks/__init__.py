"""The precheck catalogue: one pure function a check, one file an area."""
