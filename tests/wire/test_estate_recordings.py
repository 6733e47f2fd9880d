"""The recorded inventory of a real vCenter is rehearsed as any other; skipped where the recordings are not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pyVmomi import vim

from lrvmotion.model.estate import Estate, EstateSite, document
from lrvmotion.report.anonymous_estate import anonymous
from lrvmotion.vsphere.client import moref
from lrvmotion.vsphere.inventory.estate import _entity
from unit.vsphere import recordings
from wire.test_estate_rehearsals import rehearsed

pytestmark = recordings.needed
TWO = "inventory-vpxd-5.5-two-datacenters.xml"
NOT_RECORDED = ("options", "hardware", "clusters", "bindings", "key_providers", "attributes", "write_kib_s")


@pytest.fixture
def recorded(monkeypatch) -> Estate:
    """Return both sites as the recorded vCenter, whose UUID and version were not recorded with the inventory."""
    with monkeypatch.context() as patched:
        found = recordings.inventory(TWO, patched, "source")
    tree = []
    for item, row in recordings.rows(TWO):
        if not isinstance(item, vim.VirtualMachine):
            row.pop("resourcePool", None)  # asked for of VMs alone
        if "name" in row:
            tree.append(_entity(moref(item), row))
    sites = []
    for number, name in enumerate(("source", "target"), 1):
        uuid = f"52dc2c83-2b2e-4a7b-8f1a-00000000000{number}"
        about = {"instance_uuid": uuid, "version": "5.5.0", "build": "1", "api_version": "5.5"}
        sites.append(EstateSite(inventory=replace(found, site=name, vm_names=(), **about), tree=tuple(tree)))
    return Estate(source=sites[0], target=sites[1])


def compared(made: Estate) -> dict:
    """Return the document without what was not recorded: a lab tells it of every host, and of pools the owner."""
    told = json.loads(json.dumps(document(made)))
    for site in ("source", "target"):
        for name in NOT_RECORDED:
            del told[site][name]
        del told[site]["inventory"]["pools"]
    return told


def test_a_recorded_vcenter_is_rehearsed_as_it_was(recorded):
    """Two datacenters with equal names of folders, networks and datastores in both."""
    again = rehearsed(json.dumps(document(recorded)))
    assert compared(again) == compared(recorded)


def test_it_is_so_without_its_names(recorded):
    """As somebody would send it."""
    hidden = anonymous(recorded)
    again = replace(rehearsed(json.dumps(document(hidden))), anonymous=True)
    assert compared(again) == compared(hidden)
