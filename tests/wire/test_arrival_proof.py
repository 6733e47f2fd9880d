"""After its move a VM is looked at: its power, host, datastore, networks, MAC address, guest; what is wrong is told."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from lrvmotion.vsphere.vm import arrival
from lrvmotion.vsphere.vm.relocate import RelocateMover
from wire.no_net_lab import no_net_lab
from wire.single_moves import arrive, planned, small_vms, traits

WRONG = {
    "vm-power": {"powered_on": False},
    "vm-other-host": {"host": "esx-b2"},
    "vm-other-datastore": {"datastore": "second-b"},
    "vm-other-network": {"network": "other-b"},
    "vm-other-mac": {"mac": "00:50:56:01:02:03"},
}


def machines(spec):
    spec = small_vms(12)(spec)
    target = replace(
        spec.target,
        datastores=(*spec.target.datastores, "second-b"),
        networks=(*spec.target.networks, "other-b"),
    )
    return replace(spec, target=target)


@pytest.fixture(scope="module")
def lab():
    with no_net_lab(machines) as running:
        yield running


@pytest.fixture
def mover(lab):
    with RelocateMover(lab.source, lab.target, guest_wait_s=1.0) as moving:
        yield moving
    lab.control("target", "arrive_astray")


def looked(lab, mover, name: str, **astray) -> list:
    """Move a VM, which arrives as *astray* says, and return the findings."""
    migration = planned(lab, name)
    placed = migration.placement
    host = lab.inventory("target").host("esx-b1")
    pool = next(pool for pool in lab.inventory("target").pools if pool.ref == host.pool)
    migration = replace(migration, placement=replace(placed, host=host, pool=pool))
    before = mover.record(migration)
    lab.control("target", "arrive_astray", **astray)
    arrive(mover, migration)
    return mover.verify(migration, before)


@pytest.mark.parametrize(("number", "code"), [*enumerate(WRONG, 1)])
def test_what_is_not_as_it_was_or_as_planned_is_found(lab, mover, number, code):
    """Each thing that is wrong with a VM that arrived is one finding of its own; nothing else is found."""
    found = looked(lab, mover, f"vm{number}", **WRONG[code])
    assert [item.code for item in found] == [code]
    assert found[0].severity == ("warning" if code == "vm-other-host" else "error")


@pytest.mark.parametrize(("name", "wrong"), [("vm10", {"unplugged": True}), ("vm11", {"start_unplugged": True})])
def test_e20_a_card_that_is_not_connected_any_more_is_an_error(lab, mover, name, wrong):
    """Now, or when the VM is powered on; a card that was not connected before is none."""
    found = looked(lab, mover, name, traits=wrong)
    assert [(item.code, item.severity) for item in found] == [("vm-nic-disconnected", "error")]


def test_e20_a_card_that_was_not_connected_is_not_looked_for(lab, mover):
    """It stays as it was."""
    traits(lab, "vm12", unplugged=True, start_unplugged=True)
    assert looked(lab, mover, "vm12") == []


def test_a_guest_that_comes_back_is_not_told(lab, mover):
    """Where VMware Tools and the address are back there is no finding, and nothing is waited for any more."""
    traits(lab, "vm6", tools=True, address="192.0.2.6")
    assert looked(lab, mover, "vm6") == []
    assert mover.awaited == 1
    assert mover.late() == []
    assert mover.awaited == 0


@pytest.mark.parametrize(("name", "lost"), [("vm7", {"tools": False}), ("vm8", {"address": ""})])
def test_a_guest_that_does_not_come_back_is_a_warning(lab, mover, monkeypatch, name, lost):
    """Where Tools ran before, and Tools or the address are not back in time, that is one warning."""
    monkeypatch.setattr(arrival, "LOOK_S", 0.2)
    traits(lab, name, tools=True, address="192.0.2.7")
    assert looked(lab, mover, name, traits=lost) == []
    found, until = [], time.monotonic() + 10
    while mover.awaited and time.monotonic() < until:
        found += mover.late()
        time.sleep(0.1)
    assert [(item.code, item.severity) for item in found] == [("vm-tools", "warning")]


def test_a_guest_without_tools_is_not_waited_for(lab, mover):
    """Where Tools did not run before, nothing is expected of the guest."""
    assert looked(lab, mover, "vm9") == []
    assert mover.awaited == 0
