"""The document of an estate: whole, and the same in whatever order a vCenter tells its objects."""

from __future__ import annotations

import json
import random
from dataclasses import fields, replace

from hypothesis import given, settings

from estates import SEEDS, estate
from lrvmotion.model.estate import document
from lrvmotion.model.inventory import Host, VirtualMachine


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_the_document_is_the_same_in_any_order(seed: int):
    """A vCenter promises no order of what it lists; two documents of one estate are compared as texts."""
    made = estate(seed)
    told = made.source.inventory
    mixed = {
        name: tuple(random.Random(1).sample(getattr(told, name), len(getattr(told, name))))
        for name in ("hosts", "vms", "datastores", "networks", "pools", "folders")
    }
    other = replace(made, source=replace(made.source, inventory=replace(told, **mixed)))
    assert json.dumps(document(other)) == json.dumps(document(made))


def test_the_document_has_every_field_of_the_inventory():
    """A field that is new in the inventory is in the document by itself."""
    made = next(one for one in map(estate, range(100)) if one.source.inventory.vms)
    source = json.loads(json.dumps(document(made)))["source"]["inventory"]
    assert set(source["hosts"][0]) == {item.name for item in fields(Host)}
    assert set(source["vms"][0]) == {item.name for item in fields(VirtualMachine)}


def test_objects_are_sorted_as_people_count():
    """host-2 comes before host-10, so that two documents can be compared by eye."""
    made = next(one for one in map(estate, range(100)) if len(one.source.inventory.vms) > 3)
    refs = [vm["ref"] for vm in document(made)["source"]["inventory"]["vms"]]
    assert refs == sorted(refs, key=lambda ref: int(ref.rpartition("-")[2]))
