"""An estate that cannot be is refused with where in the document, and with what to write there."""

from __future__ import annotations

import json
import re
from copy import deepcopy

import pytest

from estates import estate
from lrvmotion.lab.estate import layout
from lrvmotion.lab.estate.document import EstateError, parse, read
from lrvmotion.model.estate import document

SEED = next(
    seed
    for seed in range(200)
    if len((made := document(estate(seed)))["source"]["inventory"]["vms"]) > 1
    and len({host["compute"] for host in made["source"]["inventory"]["hosts"]}) > 1
)


@pytest.fixture
def made() -> dict:
    """Return an estate with hosts in two clusters and a VM or two at the source."""
    return json.loads(json.dumps(document(estate(SEED))))


def refusal(made: object) -> EstateError:
    with pytest.raises(EstateError) as refused:
        parse(made if isinstance(made, str) else json.dumps(made), "estate.json")
    return refused.value


def test_what_the_product_writes_is_taken(made):
    """Every estate of the strategy, as it is."""
    assert parse(json.dumps(made), "estate.json") == made


def test_a_newer_schema_is_refused(made):
    """What it means is not known here."""
    made["schema"] = 2
    error = refusal(made)
    assert "$.schema is 2, this lrvmotion reads 1" in str(error)
    assert "use that version" in error.hint


@pytest.mark.parametrize("share", [0.001, 0.2, 0.5, 0.999])
def test_a_document_that_was_cut_off_is_refused(made, share):
    """At whatever byte."""
    text = json.dumps(made, indent=1)
    error = refusal(text[: int(len(text) * share)])
    assert "not a whole estate" in str(error)
    assert "lrvmotion inventory -o FILE" in error.hint


@pytest.mark.parametrize(
    "text",
    [
        '{"schema": ' + "1" * 5000 + "}",
        "[]",
        "7",
        '{"schema": "1"}',
        '{"schema": true, "source": {}}',
        "[" * 100_000,
        "",
    ],
)
def test_what_is_no_estate_is_refused(text):
    """Any other JSON, or none."""
    assert re.search("not (a whole|an) estate", str(refusal(text)))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    """With its name."""
    with pytest.raises(EstateError, match=r"no\.json: the estate cannot be read"):
        read(tmp_path / "no.json")


def test_a_host_in_two_clusters_is_refused(made):
    """Listed twice, or in one cluster here and in another in the tree."""
    hosts = made["source"]["inventory"]["hosts"]
    clusters = sorted({host["compute"] for host in hosts})
    other = next(one for one in clusters if one != hosts[0]["compute"])
    twice = deepcopy(made)
    twice["source"]["inventory"]["hosts"].append({**hosts[0], "compute": other})
    assert f"puts {hosts[0]['ref']} into two clusters" in str(refusal(twice))
    assert f"$.source.inventory.hosts[{len(hosts)}]" in str(refusal(twice))
    hosts[0]["compute"] = other
    error = str(refusal(made))
    assert error.startswith(f"estate.json: $.source.inventory.hosts[0].compute is {other}, and $.source.tree[")
    assert error.endswith("write the same cluster in both")


def test_a_vm_on_a_host_that_is_not_there_is_refused(made):
    """With where the VM stands."""
    made["source"]["inventory"]["vms"][1]["host"] = "HostSystem:host-4711"
    error = str(refusal(made))
    assert "$.source.inventory.vms[1].host is HostSystem:host-4711, which is not there: write one of" in error


HOST, VM, TREE = ("inventory", "hosts", 0), ("inventory", "vms", 0), ("tree", 0)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (
            ("tree", -1, "parent"),
            "Folder:group-v999",
            r"tree\[\d+\].parent names Folder:group-v999, which is not there",
        ),
        (("tree", -1, "ref"), "Tape:t-1", r"is a Tape, which a lab does not build: take it out"),
        ((*TREE, "name"), ..., r"\$.source.tree\[0\].name is missing: write a text"),
        ((*VM, "memory_bytes"), "4 GiB", r"memory_bytes is \"4 GiB\": write a whole number"),
        ((*VM, "memory_bytes"), True, r"memory_bytes is true: write a whole number"),
        (("inventory", "networks"), ..., r"\$.source.inventory.networks is missing: write a list"),
        ((*HOST, "ref"), "host-1", r"hosts\[0\].ref is \"host-1\": write a reference such as"),
        ((*HOST, "datastores"), ["Datastore:d-0"], r"hosts\[0\].datastores\[0\] names Datastore:d-0"),
        ((*HOST, "compute"), None, r"hosts\[0\].compute is null: write a reference"),
        (("options", "HostSystem:host-0"), {}, r"\$.source.options names HostSystem:host-0"),
        (("inventory", "datastores"), [], r"names|is empty"),
        ((*HOST, "memory_bytes"), -1, r"memory_bytes is -1: write a whole number from 0 to"),
        ((*VM, "snapshots"), 10**9, r"snapshots is 1000000000: write a whole number from 0 to 10000"),
        ((*VM, "home"), 7, r"vms\[0\].home is 7: write a reference"),
        ((*VM, "home"), "HostSystem:host-0", r"vms\[0\].home names HostSystem:host-0"),
        ((*VM, "name"), "a\x00b", r"vms\[0\].name is \"a.u0000b\": leave out U\+0000"),
        ((*HOST, "uplinks"), {"vmk0": [["vmnic0"]]}, r'uplinks\["vmk0"\]\[0\] is \["vmnic0"\]: write a list such as'),
        ((*HOST, "boot_time"), "yesterday", r"boot_time is \"yesterday\": write a time"),
        ((*HOST, "ref"), "HostSystem:../../x", r"ref is \"HostSystem:../../x\": write a reference"),
        (("clusters",), {"ClusterComputeResource:c": []}, r"clusters\[\"ClusterComputeResource:c\"\] is \[\]"),
        (("attributes",), {"x": "y"}, r"attributes\[\"x\"\] is \"x\": write the number"),
        (("key_providers",), 7, r"key_providers is 7: write a list or null"),
    ],
)
def test_a_contradiction_is_refused_with_its_place(made, place, value, said):
    """A JSON path, what is wrong, and what to write; ... stands for what is left out."""
    row = made["source"]
    for step in place[:-1]:
        row = row[step]
    row[place[-1]] = value
    if value is ...:
        del row[place[-1]]
    assert re.search(said, str(refusal(made)))


def test_what_is_there_twice_or_above_itself_is_refused(made):
    """Each object is in one place."""
    tree = made["source"]["tree"]
    above = deepcopy(made)
    above["source"]["tree"][1]["parent"] = tree[1]["ref"]
    assert f"$.source.tree[1].parent leads back to {tree[1]['ref']}" in str(refusal(above))
    tree.append(dict(tree[-1]))
    assert re.search(r"tree\[\d+\].ref is .*, as is \$.source.tree\[", str(refusal(made)))


def test_one_subnet_at_both_sites_needs_no_net(made):
    """A lab with a network has a circuit between two subnets."""
    for site in ("source", "target"):
        for host in made[site]["inventory"]["hosts"]:
            for nic in host["vmknics"]:
                nic["address"] = "10.1.1.9"
    assert layout.spec(made, "x", net=False, passwords=("a", "b")).source.lan == "10.1.1.0/24"
    with pytest.raises(EstateError, match="one subnet") as refused:
        layout.spec(made, "x", net=True, passwords=("a", "b"))
    assert "--no-net" in refused.value.hint


def test_a_tree_without_end_is_refused(made):
    """A vCenter's is a few levels deep; its ways up are walked."""
    tree = made["source"]["tree"]
    above = next(row for row in tree if row["parent"] is None)["ref"]
    for number in range(5000):
        tree.append({"ref": f"Folder:deep-{number}", "name": "x", "parent": above})
        above = tree[-1]["ref"]
    assert "is more than 100 levels below the top" in str(refusal(made))


def test_what_is_in_no_datacenter_is_refused(made):
    """Datastores and hosts have one."""
    tree = made["source"]["tree"]
    root = next(row for row in tree if row["parent"] is None)["ref"]
    next(row for row in tree if row["ref"].startswith("Datastore:"))["parent"] = root
    assert "leads through no datacenter" in str(refusal(made))
