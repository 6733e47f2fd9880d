"""A port group of ours that somebody renamed is not taken for one that was removed."""

from __future__ import annotations

import pytest

from fakes import FakeTarget, change_of
from lrvmotion.journal.journal import Journal
from lrvmotion.model.setting import ABSENT, document
from lrvmotion.run import drift
from lrvmotion.run.apply import apply, revert

GROUP, NIC = "portgroup/lrvmotion-r1-1", "vmknic/10.0.0.1"
CONTENT = document(vlan_id=7, vswitch="vSwitch0", active=[], standby=[])


def clock():
    return "2026-01-01T00:00:00.000+00:00"


@pytest.fixture
def host(tmp_path):
    """A host on which a run made a port group with a vmknic, its journal beside it."""
    target = FakeTarget("source/a", {})
    made = [change_of("source/a", GROUP, ABSENT, CONTENT), change_of("source/a", NIC, ABSENT, on("lrvmotion-r1-1"))]
    with Journal(tmp_path, clock) as journal:
        apply(made, {"source/a": target}, journal, "r1", print)
    return target


def on(group):
    return document(portgroup=group)


def rename(host):
    host.values["portgroup/backup"] = host.values.pop(GROUP)
    host.values[NIC] = on("backup")


def restore(directory, host, *, force=False):
    with Journal(directory, clock) as journal:
        done = revert(journal, lambda name: host, lambda event: None, run="r2", force=force)
        return {item.key: reason for item, reason in done.left}, [item.key for item in journal.outstanding()]


@pytest.mark.parametrize("force", [False, True])
def test_it_is_left_with_its_vmknic_and_the_way_out_is_told(tmp_path, host, force):
    """By force too: without the vmknic nobody could tell that the port group is ours, and it would stay for good."""
    rename(host)
    left, outstanding = restore(tmp_path, host, force=force)
    assert left.keys() == {GROUP, NIC}
    assert all("rename 'backup' back to lrvmotion-r1-1" in reason for reason in left.values())
    assert outstanding == [GROUP, NIC]
    assert host.values.keys() == {"portgroup/backup", NIC}


def test_renamed_back_it_is_restored(tmp_path, host):
    """Nothing of the first attempt stands in the way."""
    rename(host)
    restore(tmp_path, host, force=True)
    host.values[GROUP] = host.values.pop("portgroup/backup")
    host.values[NIC] = on("lrvmotion-r1-1")
    assert restore(tmp_path, host) == ({}, [])
    assert host.values == {}


def test_removed_by_hand_it_is_as_before(tmp_path, host):
    """The administrator took the vmknic and the port group away."""
    rename(host)
    host.values.clear()
    assert restore(tmp_path, host) == ({}, [])


def test_a_vmknic_that_was_moved_while_the_port_group_stands_is_a_change_like_any_other(tmp_path, host):
    """Left without force, removed with it."""
    host.values[NIC] = on("LAN")
    assert restore(tmp_path, host)[0].keys() == {NIC}
    assert restore(tmp_path, host, force=True) == ({}, [])


def test_a_vmknic_on_a_distributed_port_group_is_not_taken_for_one_on_a_renamed_one(tmp_path, host):
    """Somebody migrated it to a distributed switch and removed ours: by force it is removed."""
    del host.values[GROUP]
    host.values[NIC] = document(portgroup=None, portgroup_key="dvportgroup-9")
    assert restore(tmp_path, host, force=True) == ({}, [])


def test_the_next_migrate_does_not_close_it(tmp_path, host):
    """It is somebody else's change, and the port group remains outstanding."""
    rename(host)
    with Journal(tmp_path, clock) as journal:
        seen = drift.look(journal.outstanding(), lambda name, key: host.read(key))
    assert seen.back == ()
    assert [one.key for one in seen.theirs] == [GROUP, NIC]
