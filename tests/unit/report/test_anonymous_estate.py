"""An anonymous estate: nothing of the names, addresses and UUIDs is in it, and all of the structure is."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import replace

from hypothesis import given, settings

from estates import NAMES, SEEDS, estate
from lrvmotion.model.estate import document, in_order
from lrvmotion.model.inventory import Folder, MoRef
from lrvmotion.report import anonymous_estate
from lrvmotion.report.anonymous_estate import anonymous

OURS = {"Resources", "Datacenters", "vm", "host", "network", "datastore", "Management Network"}
ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")
LONG_ID = re.compile(
    r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b|\b(?:[0-9a-f]{2} ){7}[0-9a-f]{2}-[0-9a-f ]{23}\b"
)
MAC = re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b")


def texts(value) -> list[str]:
    """Return every text in a JSON value, keys too."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in [key, *texts(item)]]
    return [text for item in value for text in texts(item)] if isinstance(value, list) else []


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_nothing_of_the_names_addresses_and_uuids_is_left(seed: int):
    """Searched for as they stand, in every text of the document."""
    made = estate(seed)
    names = {entity.name for site in (made.source, made.target) for entity in site.tree} - OURS
    names |= {*NAMES, "LAB\\ops", "LAB\\Zoë", "Secret-Tool", "Kostenstelle", "keep apart", "kms-1"} - {"x", "vm-2"}
    before = json.dumps(document(made))
    after = texts(document(anonymous(made)))
    hidden = {*names, *ADDRESS.findall(before), *LONG_ID.findall(before), *MAC.findall(before)} - {"8.0.3.0"}
    words = "|".join(re.escape(word) for word in hidden if len(word) > 1)
    assert re.findall(rf"(?<![\w.])(?:{words})(?![\w.])", "\n".join(set(after) - OURS)) == []


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_twice_is_as_once(seed: int):
    """So that the anonymous estate of a rehearsal is that which it was built from."""
    made = estate(seed)
    once = anonymous(made)
    assert anonymous(once) == once
    again = anonymous(replace(once, anonymous=False))
    assert json.dumps(document(again)) == json.dumps(document(once))


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_what_is_equal_stays_equal_and_nothing_else_becomes_so(seed: int):
    """A name that is at both vCenters, or there twice, is the point of many a bug report."""
    made = estate(seed)
    before, after = in_order(made), anonymous(made)
    words: dict[str, str] = {}
    for old, new in ((before.source, after.source), (before.target, after.target)):
        for one, other in zip(old.tree, new.tree, strict=True):
            assert words.setdefault(one.name, other.name) == other.name
            assert (one.ref, one.parent, one.pool) == (other.ref, other.parent, other.pool)
        for one, other in zip(old.inventory.vms, new.inventory.vms, strict=True):
            assert other.name == words[one.name]
            for card, hidden in zip(one.nics, other.nics, strict=True):
                assert hidden.network == words[card.network]
    assert len(set(words.values())) == len(words)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_subnets_stay_subnets(seed: int):
    """Two vmknics are in one subnet after it where they were before it; an address stays the same in its subnet."""
    made = estate(seed)
    before, after = in_order(made), anonymous(made)
    pairs = [
        (one, other)
        for old, new in ((before.source, after.source), (before.target, after.target))
        for host, hidden in zip(old.inventory.hosts, new.inventory.hosts, strict=True)
        for one, other in zip(host.vmknics, hidden.vmknics, strict=True)
    ]
    networks: dict[object, object] = {}
    for one, other in pairs:
        old = ipaddress.ip_network(f"{one.address}/{one.prefix_length}", strict=False)
        new = ipaddress.ip_network(f"{other.address}/{other.prefix_length}", strict=False)
        assert networks.setdefault(old, new) == new
        assert one.address.rpartition(".")[2] == other.address.rpartition(".")[2]
        if one.gateway:
            near = ipaddress.ip_address(one.gateway) in old
            assert (ipaddress.ip_address(other.gateway) in new) == near
    assert len(set(networks.values())) == len(networks)


def test_the_path_of_a_folder_is_told_by_its_names():
    """A name may have a slash in it: "a/b" is one folder, not two."""
    made = estate(1)
    folder = made.source.inventory.folders[0]
    child = replace(made.source.tree[-1], ref=MoRef("Folder", "group-v99"), name="a/b", parent=folder.ref, pool=None)
    inventory = replace(
        made.source.inventory, folders=(folder, Folder(ref=child.ref, path="a/b", datacenter=folder.datacenter))
    )
    changed = replace(made.source, tree=(*made.source.tree, child), inventory=inventory)
    path = anonymous(replace(made, source=changed)).source.inventory.folders[-1].path
    assert "/" not in path


def test_a_text_of_a_field_that_is_not_known_is_replaced(monkeypatch):
    """A field that is new is hidden until somebody says that it may be shown."""
    made = next(one for one in map(estate, range(100)) if one.source.inventory.vms)
    vms = tuple(replace(vm, hardware="Geheim GmbH") for vm in made.source.inventory.vms)
    kinds = {key: kind for key, kind in anonymous_estate._KINDS.items() if key != ("VirtualMachine", "hardware")}
    monkeypatch.setattr(anonymous_estate, "_KINDS", kinds)
    changed = replace(made, source=replace(made.source, inventory=replace(made.source.inventory, vms=vms)))
    assert "Geheim GmbH" not in json.dumps(document(anonymous(changed)))
