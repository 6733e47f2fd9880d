"""--select by tag and custom attribute: read from the vCenter where the expression needs them, in few calls."""

from __future__ import annotations

import os

import pytest

from lab_client import Lab

MANY = 40  # tags that the vCenter has


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "8", name=f"g{os.getpid()}") as up:
        tags = {"Environment": ["Production", "Test"], "Team": [f"team {number}" for number in range(MANY)]}
        up.control("source", "names_set", tags=tags, attributes=["Owner", "Cost centre"])
        production, test = ["Environment", "Production"], ["Environment", "Test"]
        for vm, has in (
            ("vm1", {"tags": [production, ["Team", "team 1"]]}),
            ("vm2", {"tags": [production], "attributes": [["Owner", "smith"]]}),
            ("vm3", {"tags": [test, ["Team", "team 1"]], "attributes": [["Owner", "jones"], ["Cost centre", "42"]]}),
            ("vm4", {"tags": [], "attributes": [["Owner", "smithers & co"]]}),
        ):
            up.control("source", "vm_set", vm=vm, traits=has)
        yield up


def chosen(lab, expression: str) -> list[str]:
    listed = [vm["vm"] for vm in lab.json("vms", "--select", expression)["vms"]]
    if not listed:
        assert "no VM matches" in lab.run("plan", "--mode", "stock", "--select", expression).stderr
        return []
    planned = lab.json("plan", "--mode", "stock", "--select", expression)
    assert [move["vm"] for move in planned["migrations"]] == listed
    return listed


@pytest.mark.parametrize(
    ("expression", "vms"),
    [
        ("tag=Production", "1 2"),
        ("tag=Environment/Test", "3"),
        ("tag=Environment/* and not tag='team 1'", "2"),
        ("tag!=Production", "3 4 5 6 7 8"),
        ("attribute.Owner=smith*", "2 4"),
        ("attribute.Owner='smithers & co' or attribute.'Cost centre'=42", "3 4"),
        ("attribute.Owner=smith and tag=Production", "2"),
        ("tag=Test and size>1M and memory>1M and not size>900T", "3"),
        ("tag=Test and (size<1K or memory>=900T)", ""),
    ],
)
def test_vms_are_chosen_by_what_is_attached_to_them(lab, expression, vms):
    """By `vms` and `plan` alike."""
    assert chosen(lab, expression) == [f"vm{number}" for number in vms.split()]


def asked(lab, *arguments: str) -> dict[str, int]:
    before = lab.control("source", "calls")["calls"]
    done = lab.run(*arguments)
    assert done.returncode == 0, done.stderr
    after = lab.control("source", "calls")["calls"]
    return {
        name: count - before.get(name, 0)
        for name, count in after.items()
        if name.startswith(("tagging.", "session.")) and count > before.get(name, 0)
    }


def test_tags_take_four_calls_and_only_where_they_are_compared(lab):
    """The login, all categories, all tags, and what has those that fit; however many VMs and tags there are."""
    assert asked(lab, "vms", "--select", "tag=Production") == {
        "session.POST": 1,
        "tagging.get-all-categories": 1,
        "tagging.get-all-tags": 1,
        "tagging.list-attached-objects-on-tags": 1,
    }
    assert asked(lab, "vms", "--select", "name=vm1 and attribute.Owner=''") == {}


def test_a_vcenter_that_does_not_list_all_names_is_asked_for_each(lab):
    """The call that has them together is for VMware's own use."""
    lab.control("source", "fault_add", rule={"method": "tagging.get-all-tags", "message": "no"})
    try:
        counted = asked(lab, "vms", "--select", "tag=Production")
    finally:
        lab.control("source", "fault_clear")
    assert (counted["tagging.GET"], counted["tagging.list-attached-objects-on-tags"]) == (1 + 2 + MANY + 2, 1)


@pytest.mark.parametrize("command", [["vms"], ["plan"], ["migrate", "--mode", "stock", "--yes"]])
@pytest.mark.parametrize(
    ("expression", "said", "hint"),
    [
        ("tag!=Prodution", "source: no tag matches 'Prodution'", "did you mean Production"),
        ("tag=Envronment/Test", "source: no tag matches 'Envronment/Test'", "did you mean Environment/Test"),
        ("not attribute.Ownr=x", "source: there is no custom attribute 'Ownr'", "did you mean Owner?"),
    ],
)
def test_a_tag_or_attribute_that_there_is_not_is_refused(lab, command, expression, said, hint):
    """With what is near to it: `tag!=` a typing error would hold of every VM."""
    done = lab.run(*command, "--select", expression)
    assert (done.returncode, said in done.stderr, hint in done.stderr) == (2, True, True), done.stderr


def test_tags_that_cannot_be_read_refuse_the_choice(lab):
    """Nothing is chosen by half of what it says."""
    rule = {"method": "tagging.list-attached-objects-on-tags", "message": "Unable to authorize user"}
    lab.control("source", "fault_add", rule=rule)
    try:
        done = lab.run("plan", "--select", "tag=Production")
    finally:
        lab.control("source", "fault_clear")
    assert done.returncode == 3, done.stderr
    assert "source: tags: Unable to authorize user" in done.stderr


def test_a_vm_that_has_moved_is_listed_by_its_tags_there(lab):
    """The target may not have the tag."""
    moved = lab.run("migrate", "--mode", "stock", "--yes", "vm8")
    assert moved.returncode == 0, moved.stderr
    assert [vm["vm"] for vm in lab.json("vms", "--select", "tag!=Production and name=vm8")["vms"]] != []
    assert lab.json("vms", "--select", "tag=Production and name=vm8")["vms"] == []
