"""The simulated vCenter: one HTTPS process a site, on pyVmomi's types; run as `python -m lrvmotion.lab.vcenter`.

A file per managed object is named as the API names it. "vsphere.md N" in a comment is section N of
`docs/reference/vsphere.md`; `unconfirmed` marks what no independent source confirms.
"""
