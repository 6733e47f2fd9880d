"""Tags, permissions and policies is recorded before its move, given to it after, and looked at, never assumed."""

from __future__ import annotations

from collections import Counter

import pytest

from lrvmotion.errors import RefusedError
from lrvmotion.vsphere.vm.relocate import RelocateMover
from wire.no_net_lab import no_net_lab
from wire.single_moves import arrive, planned, small_vms, traits


@pytest.fixture(scope="module")
def lab():
    with no_net_lab(small_vms(16)) as running:
        yield running


@pytest.fixture
def mover(lab):
    with RelocateMover(lab.source, lab.target) as moving:
        yield moving


class Journal(list):
    """What was recorded, and what the lab's target had been asked to change by then."""

    def __call__(self, write):
        self.append((write.key, write.planned))


def move(lab, mover, name: str, journal=None) -> dict:
    """Move a VM and return what became of its things: {(kind, name): (carried, reason)}."""
    migration = planned(lab, name)
    metadata = mover.record(migration)
    arrive(mover, migration)
    assert not [f for f in mover.verify(migration) if f.severity == "error"]
    said = mover.carry(migration, metadata, journal if journal is not None else Journal())
    return {(one.kind, one.name): (one.carried, one.reason) for one in said}


def test_what_exists_at_the_target_is_given_and_read_back(lab, mover):
    """A note, attributes and permissions are at the target after the move, each write recorded before it is made."""
    traits(
        lab, "vm1", note="belongs to payroll\nsee wiki", attributes=[["Owner", "sam"], ["Cost", "12"]],
        permissions=["LAB\\ops|ReadOnly"],
    )  # fmt: skip
    lab.control("target", "names_set", attributes=["Owner"])
    journal = Journal()
    said = move(lab, mover, "vm1", journal)
    assert said["note", "note"] == (True, None)
    assert said["attribute", "Owner"] == (True, None)
    assert said["permission", "LAB\\ops"] == (True, None)
    assert said["folder", "vm"] == (True, None)
    assert said["attribute", "Cost"][0] is False
    assert "no attribute Cost at the target" in said["attribute", "Cost"][1]
    assert sorted(journal) == [("attribute/Owner", "sam"), ("permission/LAB\\ops", "ReadOnly, propagated")]


def test_nothing_is_written_that_was_not_recorded(lab, mover):
    """Where the journal cannot be written, nothing is changed at the target, and all of it is listed as not carried."""
    traits(lab, "vm2", attributes=[["Owner", "sam"]], permissions=["LAB\\ops|ReadOnly"])
    lab.control("target", "names_set", attributes=["Owner"])

    def full(write):
        message = "the journal cannot be written"
        raise RefusedError(message)

    said = move(lab, mover, "vm2", full)
    for kind in (("attribute", "Owner"), ("permission", "LAB\\ops")):
        assert said[kind] == (False, "the journal cannot be written")


def test_what_was_written_and_is_not_there_is_not_reported_as_carried(lab, mover):
    """A write that the vCenter refuses is listed as not carried, with its words."""
    traits(lab, "vm3", attributes=[["Owner", "sam"]], permissions=["LAB\\gone", "LAB\\ops|Operators"])
    lab.control("target", "names_set", attributes=["Owner"], strangers=["LAB\\gone"], roles={"Operators": ["VM.Off"]})
    lab.fault("target", method="SetField", fault="vim.fault.NoPermission")
    said = move(lab, mover, "vm3")
    assert said["attribute", "Owner"][0] is False
    assert said["permission", "LAB\\gone"][0] is False
    assert "does not exist" in said["permission", "LAB\\gone"][1]
    assert "other privileges at the target" in said["permission", "LAB\\ops"][1]


def test_rules_are_listed_and_not_carried(lab, mover):
    """DRS rules and settings of single VMs stay behind, and the list says so."""
    rules = [{"name": "apart", "apart": True, "vms": ["vm4", "vm5"]}]
    lab.control("source", "cluster_set", rules=rules, overrides={"vm4": {"ha": "high"}})
    said = move(lab, mover, "vm4")
    lab.control("source", "cluster_set")
    assert said["rule", "apart"][0] is False
    assert said["override", "HA restart priority high"][0] is False


def test_what_could_not_be_read_before_is_said(lab, mover):
    """A kind of thing that was not told before the move is listed as not looked at: neither carried nor absent."""
    lab.fault("source", method="RetrievePropertiesEx", path="configurationEx", fault="vim.fault.NoPermission")
    lab.fault("source", method="PbmQueryAssociatedProfiles", fault="vmodl.fault.SecurityError")
    said = move(lab, mover, "vm6")
    assert said["rule", "DRS rules and settings"][0] is None
    assert said["policy", "storage policies"][0] is None


def test_tags_are_attached_by_category_and_name(lab, mover):
    """A tag that the target knows by category and name is attached there; one that it does not know is never made."""
    traits(lab, "vm7", tags=[["Backup", "daily"], ["Backup", "vault"], ["Site", "west"], ["Tier", "gold"]])
    lab.control("target", "names_set", tags={"Backup": ["daily"], "Site": ["east"]})
    journal = Journal()
    said = move(lab, mover, "vm7", journal)
    assert said["tag", "Backup/daily"] == (True, None)
    for name in ("Backup/vault", "Site/west", "Tier/gold"):
        assert said["tag", name][0] is False
        assert f"there is no tag {name} at the target; make it there" in said["tag", name][1]
    assert journal == [("tag/Backup/daily", "attached")]
    assert not [f for f in lab.control("target", "calls")["calls"] if f.startswith("tagging.POST")]


def test_a_category_that_takes_one_tag(lab, mover):
    """What the vCenter does not let be attached is listed with its words."""
    traits(lab, "vm8", tags=[["Owner", "anne"], ["Owner", "bert"]])
    lab.control("target", "names_set", tags={"Owner": ["anne", "bert"]}, single=["Owner"])
    said = move(lab, mover, "vm8")
    assert said["tag", "Owner/anne"] == (True, None)
    assert said["tag", "Owner/bert"][0] is False
    assert "not eligible" in said["tag", "Owner/bert"][1]


def test_tags_that_were_not_read(lab, mover):
    """Tags that the account may not read are listed as not looked at."""
    traits(lab, "vm9", tags=[["Backup", "daily"]])
    lab.fault("source", method="tagging.list-attached-tags", message="Unable to authorize user")
    said = move(lab, mover, "vm9")
    assert said["tag", "tags"] == (None, "not read: source: tags: Unable to authorize user")


def test_an_attach_whose_answer_says_nothing_is_looked_at(lab, mover):
    """Where the target's tags cannot be read after the writes, none of them is reported as carried."""
    traits(lab, "vm10", tags=[["Backup", "daily"]])
    lab.control("target", "names_set", tags={"Backup": ["daily"]})
    lab.fault("target", method="tagging.list-attached-tags", skip=1)
    said = move(lab, mover, "vm10")
    assert said["tag", "Backup/daily"][0] is None
    assert "not looked" in said["tag", "Backup/daily"][1]


def test_a_rest_session_that_ended_is_renewed(lab, mover):
    """Between two moves the REST session may end: it logs in again, and tags are carried."""
    lab.control("target", "names_set", tags={"Backup": ["daily"]})
    for name in ("vm11", "vm12"):
        traits(lab, name, tags=[["Backup", "daily"]])
        assert move(lab, mover, name)["tag", "Backup/daily"] == (True, None)
        for site in ("source", "target"):
            lab.control(site, "sessions_expire")


def test_calls_stay_few(lab, mover):
    """The second VM with the same tag costs a handful of calls: names are kept."""
    lab.control("target", "names_set", tags={"Backup": ["daily"]})
    for name in ("vm13", "vm14"):
        traits(lab, name, tags=[["Backup", "daily"]], attributes=[["Owner", "sam"]])
        for site in ("source", "target"):
            lab.control(site, "calls_reset")
        move(lab, mover, name)
    calls = [lab.control(site, "calls")["calls"] for site in ("source", "target")]
    counted = sum((Counter(found) for found in calls), Counter())
    rest = {name: count for name, count in counted.items() if name.startswith("tagging.")}
    assert rest == {"tagging.list-attached-tags": 3, "tagging.attach": 1}


def test_storage_policies_are_assigned_by_name(lab, mover):
    """The policy of the VM's home and of each disk is assigned where the target has one of that name, never made."""
    traits(lab, "vm15", policies=[["home", "Gold"], ["2000", "Gold"]])
    traits(lab, "vm5", policies=[["home", "Silver"]])
    lab.control("target", "names_set", policies=["Gold"])
    journal = Journal()
    said = move(lab, mover, "vm15", journal)
    assert said["policy", "VM home: Gold"] == (True, None)
    assert said["policy", "Hard disk 1: Gold"] == (True, None)
    assert journal == [("policy/VM home: Gold", "Gold"), ("policy/Hard disk 1: Gold", "Gold")]
    said = move(lab, mover, "vm5")
    assert said["policy", "VM home: Silver"][0] is False
    assert "no storage policy Silver at the target" in said["policy", "VM home: Silver"][1]


def test_a_vm_that_is_not_at_the_target_is_given_nothing(lab, mover):
    """It is said so, and nothing is recorded: there is no VM to write to."""
    migration = planned(lab, "vm16")
    journal = Journal()
    with pytest.raises(RefusedError, match="vm/vm16: it is not at the target"):
        mover.carry(migration, mover.record(migration), journal)
    assert journal == []
