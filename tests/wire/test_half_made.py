"""What a failed move leaves at the target is named, and never removed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lrvmotion.events import Found, Move
from lrvmotion.plan.schedule import Schedule
from lrvmotion.run.moves.migration_driver import drive
from lrvmotion.vsphere.vm.relocate import RelocateMover
from queued import collaborators
from wire.no_net_lab import no_net_lab
from wire.single_moves import planned, small_vms, traits


@pytest.fixture(scope="module")
def lab():
    with no_net_lab(small_vms(3)) as running:
        yield running


def driven(lab, name: str, called: str | None = None):
    """Move a VM once, *called* so in its run; return how that ended and what was found."""
    migration, told = planned(lab, name), []
    migration = replace(migration, vm=called or name)
    with RelocateMover(lab.source, lab.target) as mover:
        drive((migration,), Schedule((migration,)), mover, told.append, collaborators())
    last = [event for event in told if isinstance(event, Move)][-1]
    return last, [event.finding for event in told if isinstance(event, Found)]


def test_e24_a_half_made_vm_is_named_and_stays(lab):
    """By its reference and its folder; the VM itself is at the source."""
    traits(lab, "vm1", breaks=True)
    last, found = driven(lab, "vm1")
    assert last.state == "error"
    assert [(item.code, item.severity, item.subject) for item in found] == [("vm-half-made", "warning", "vm/vm1")]
    assert "vm1" in lab.control("source", "state")["vms"]
    left = [(name, ref) for name, ref in lab.inventory("target").vm_names if name == "vm1"]
    assert [ref.value in found[0].summary for _, ref in left] == [True]


def test_e24_a_move_that_leaves_nothing_tells_nothing(lab):
    """It fails before anything is made there."""
    lab.fault("source", method="RelocateVM_Task", object="vm2", fault="vim.fault.InvalidState", in_task=True)
    last, found = driven(lab, "vm2")
    assert (last.state, found) == ("error", [])


def test_e24_it_is_found_by_the_name_that_vsphere_shows(lab):
    """A run may call the VM by its path, or as it was called when it was planned."""
    traits(lab, "vm3", breaks=True)
    _, found = driven(lab, "vm3", "Prod/Web/vm3")
    assert [(item.code, item.subject) for item in found] == [("vm-half-made", "vm/Prod/Web/vm3")]
