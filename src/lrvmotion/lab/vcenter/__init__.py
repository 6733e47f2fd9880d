"""The simulated vCenter: one HTTPS process a site, on pyVmomi's types; run as `python -m lrvmotion.lab.vcenter`.

A file per managed object is named as the API names it; a new one is its file, and a line in `build.py` where nothing
else imports it: its type is found by name (`registry.py`), so that no two files need each other. "vsphere.md N" in a
comment is section N of `docs/reference/vsphere.md`; `unconfirmed` marks what no independent source confirms.
"""
