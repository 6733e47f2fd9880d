"""A plan file holds all that migrate needs, and nothing that was edited, truncated or newer is taken for a plan."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import host, inventory, vm
from lrvmotion.config import schema as configs
from lrvmotion.errors import UsageError
from lrvmotion.findings import Finding, Severity
from lrvmotion.model.inventory import Disk, MoRef, Nic
from lrvmotion.model.setting import ABSENT, SettingKey, Value, document
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan import plan_file, staleness
from lrvmotion.plan.placer import Placer
from lrvmotion.plan.plan import Change, Migration, Path, Plan, Skipped
from worlds import A1, A2, B1, CONFIG, TARGET, plan, source


def facts(made, inventory_, *, target=TARGET, config=None, owner_id=None):
    return staleness.facts(staleness.Subjects.of(made), configs.parse(config or CONFIG), inventory_, target, owner_id)


def written(made, found=None) -> str:
    return plan_file.text(made, found or {}, reboot_hosts=False, written="2026-01-01T00:00:00Z", version="0.1.0")


texts = st.text(st.characters(codec="utf-8"), max_size=12)
values = st.one_of(
    st.just(ABSENT),
    st.booleans().map(lambda given: Value("bool", given)),
    st.integers(-(2**40), 2**40).map(lambda given: Value("long", given)),
    texts.map(lambda given: Value("string", given)),
    texts.map(lambda given: document(content=given)),
)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
targets = st.builds(TargetId.host, st.sampled_from(["source", "target"]), names) | st.builds(TargetId.relay, names)
keys = st.builds(SettingKey, texts)
changes = st.builds(Change, target=targets, key=keys, prior=values, planned=values, reason=texts, reboot=st.booleans())
plans = st.builds(
    Plan,
    run=texts,
    owner_id=texts,
    mode=st.sampled_from(["stock", "native", "proxy"]),
    changes=st.lists(changes, max_size=3).map(tuple),
    skipped=st.lists(st.builds(Skipped, target=targets, key=keys, reason=texts), max_size=2).map(tuple),
    findings=st.lists(
        st.builds(
            Finding, severity=st.sampled_from(Severity), code=texts, subject=texts, summary=texts,
            hint=st.none() | texts,
        ),
        max_size=2,
    ).map(tuple),
    paths=st.lists(
        st.builds(
            Path, source_host=texts, source_address=texts, netstack=texts, target_host=texts, target_address=texts,
            new=st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
    new_vmknics=st.lists(st.tuples(targets, texts), max_size=2).map(tuple),
    relays=st.lists(texts, max_size=2).map(tuple),
    far=st.none() | texts,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(plans)
def test_a_plan_is_read_back_as_it_was_written(made):
    """Typed values included: True is not 1."""
    back = plan_file.parse(written(made), "plan.json").complete(TARGET)
    assert back == made
    assert [type(change.prior.data) for change in back.changes] == [type(change.prior.data) for change in made.changes]


def test_migrations_are_read_back_with_their_places():
    """By reference and name, looked up where they are."""
    made = plan(vm("vm1", "a1"), vm("vm2", "a1", power_state="poweredOff"))
    saved = plan_file.parse(written(made), "plan.json")
    assert saved.complete(TARGET) == made
    assert saved.subjects() == staleness.Subjects.of(made)


def test_planning_again_with_the_saved_places_comes_to_the_same_places():
    """The wishes that a saved plan makes win over the mappings."""
    machine = vm("vm1", "a1")
    made = plan(machine)
    overrides = plan_file.parse(written(made), "plan.json").overrides()
    other = inventory("target", (host("b0", "10.99.0.8"), B1))
    placement, _ = Placer(configs.parse(CONFIG), source(machine), other, overrides).place(machine)
    assert placement.host.name == "b1"


def test_every_field_of_a_migration_is_in_the_file():
    """The schema follows the data, and docs/plan-file.md follows the schema."""
    record = json.loads(written(plan(vm("vm1", "a1"))))
    assert set(record["migrations"][0]) == {item.name for item in fields(Migration)}
    text = (planfile_docs()).read_text()
    missing = [name for name in (*record, *record["plan"], *record["migrations"][0]) if f"`{name}`" not in text]
    assert missing == []


def planfile_docs():
    from pathlib import Path as File

    return File(__file__).parents[3] / "docs" / "plan-file.md"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text.replace('"data": 1', '"data": 2'), "changed after it was written"),
        (lambda text: text.replace('"abcdef"', '"abcdeg"', 1), "changed after it was written"),
        (lambda text: text[: len(text) // 2], "not a whole plan file"),
        (lambda text: "", "not a whole plan file"),
        (lambda text: "[]", "not a plan file"),
        (lambda text: "[" * 200_000, "not a whole plan file"),
        (lambda text: "{}", "not a plan file"),
        (lambda text: text.replace('"schema": 2', '"schema": 3'), "written by a newer lrvmotion (schema 3"),
        (lambda text: text.replace('"schema": 2', '"schema": 1'), "mark is now called owner_id"),
        (lambda text: text.replace('"schema": 2', '"schema": "1"'), "not a plan file"),
        (lambda text: text.replace('"schema": 2', '"schema": true'), "not a plan file"),
        (lambda text: text.replace("{", "{,", 1), "line 1: "),
        (lambda text: text.replace('"schema": 2', f'"schema": {"9" * 5000}'), "not a whole plan file"),
    ],
    ids=["value", "run", "half", "empty", "list", "deep", "object", "newer", "older", "odd", "true", "line", "digits"],
)
def test_what_is_no_plan_is_refused_in_a_sentence(spoil, said):
    """Edited, truncated, something else, from a newer version."""
    text = written(plan(vm("vm1", "a1")))
    assert spoil(text) != text
    with pytest.raises(UsageError) as caught:
        plan_file.parse(spoil(text), "plan.json")
    assert said in caught.value.message
    assert caught.value.hint


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_spoiled_byte_gets_through(data):
    """Wherever it is; white space alone says nothing."""
    text = written(plan(vm("vm1", "a1")))
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda one: one != text[at]))
    spoiled = text[:at] + other + text[at + 1 :]
    try:
        assert plan_file.parse(spoiled, "plan.json") == plan_file.parse(text, "plan.json")
    except UsageError:
        return


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"", b"\xff\xfe", b"\x80"])
def test_a_plan_file_is_utf_8_with_or_without_a_byte_order_mark(tmp_path, mark):
    """An editor may have put one there; nothing else is read."""
    text = written(plan(vm("vm1", "a1")))
    file = tmp_path / "plan.json"
    file.write_bytes(mark + text.encode())
    if mark in (b"", b"\xef\xbb\xbf"):
        assert plan_file.load(file) == plan_file.parse(text, "plan.json")
        return
    with pytest.raises(UsageError, match="line 1 is not UTF-8") as caught:
        plan_file.load(file)
    assert caught.value.hint


def test_a_plan_file_holds_no_path_of_a_secret():
    """How we log in is no part of a plan."""
    made = plan(vm("vm1", "a1"))
    assert "/secret/place" not in written(made, facts(made, source(vm("vm1", "a1"))))


NIC = Nic(key=4000, label="Network adapter 1", mac="", network="VM Network")
DISK = Disk(key=2000, label="Hard disk 1", capacity_bytes=2**32, datastore=MoRef("Datastore", "datastore-1"))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"host": A2.ref}, "vm/vm1: host is a2, the plan has a1"),
        ({"power_state": "poweredOff"}, "vm/vm1: power state is poweredOff, the plan has poweredOn"),
        ({"snapshots": 1}, "vm/vm1: number of snapshots is 1, the plan has 0"),
        ({"disks": (DISK,)}, "vm/vm1: disk 2000 is Hard disk 1, 4096 MiB on datastore1, the plan has"),
        ({"nics": (NIC, replace(NIC, key=4001))}, "vm/vm1: NIC 4001 is Network adapter 1 on VM Network, the plan has"),
        ({"connected_devices": ("CD",)}, "vm/vm1: device that is connected is CD, the plan has none"),
    ],
)
def test_a_vm_that_changed_is_named_with_what_changed(now, said):
    """And only that."""
    made = plan(vm("vm1", "a1"))
    before = facts(made, source(vm("vm1", "a1")))
    (line,) = staleness.differences(before, facts(made, source(replace(vm("vm1", "a1"), **now))))
    assert line.startswith(said)


@pytest.mark.parametrize("state", ["orphaned", "inaccessible", "invalid", "disconnected"])
def test_of_a_vm_without_connection_its_state_is_the_only_difference(state):
    """vCenter knows nothing else of it, or what was true when it was connected."""
    made = plan(vm("vm1", "a1"))
    now = source(replace(vm("vm1", "a1"), connection_state=state, instance_uuid="", host=None, disks=()))
    assert staleness.differences(facts(made, source(vm("vm1", "a1"))), facts(made, now)) == [f"vm/vm1: is {state}"]


def test_a_vm_that_is_gone_is_said_once():
    """Not once for each of its facts."""
    made = plan(vm("vm1", "a1"))
    lines = staleness.differences(facts(made, source(vm("vm1", "a1"))), facts(made, source()))
    assert lines == ["vm/vm1: is no longer at the source"]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"in_maintenance": True}, "target/b1: maintenance mode is on, the plan has off"),
        ({"connection_state": "disconnected"}, "target/b1: connection is disconnected, the plan has connected"),
        ({"vmknics": B1.vmknics[:1]}, "target/b1: vMotion vmk1 is none, the plan has 10.99.0.9/24, MTU 1500"),
    ],
)
def test_a_host_that_changed_is_named(now, said):
    """Target and source alike."""
    made = plan(vm("vm1", "a1"))
    here = source(vm("vm1", "a1"))
    lines = staleness.differences(
        facts(made, here), facts(made, here, target=inventory("target", (replace(B1, **now),)))
    )
    assert [line.startswith(said) for line in lines] == [True]


def test_places_addresses_settings_and_mappings_that_changed_are_named():
    """A datastore that is gone, an address that is taken, a mapping, somebody's run."""
    made = plan(vm("vm1", "a1"))
    here = source(vm("vm1", "a1"))
    before = facts(made, here)
    assert staleness.differences(before, facts(made, here, target=inventory("target", (B1,), datastores=()))) == [
        "target: datastore datastore1 no longer exists"
    ]
    taken = inventory("source", (A1, host("a2", "10.88.0.20")), here.vms)
    assert staleness.differences(before, facts(made, taken)) == [
        "source: address 10.88.0.20 is on a2, the plan has free"
    ]
    mapped = {**CONFIG, "mappings": {"networks": {"VM Network": "DMZ"}}}
    assert staleness.differences(before, facts(made, here, config=mapped)) == [
        "configuration: mappings.networks.VM Network is DMZ, the plan has none"
    ]
    assert staleness.differences(before, facts(made, here, owner_id="zzzzzz")) == [
        "journal: run whose settings remain changed is zzzzzz, the plan has none"
    ]


def test_a_setting_that_changed_is_named():
    """From the changes of the plan that is made again."""
    made = plan(vm("vm1", "a1"))
    first, second = made.changes
    again = replace(made, changes=(replace(first, prior=Value("long", 7)), second))
    read = {"option/x": Value("long", 1)}
    assert staleness.settings_differ(made, again, lambda target, key: read[key]) == [
        "source/a1: x is 7, the plan has 0"
    ]
    assert staleness.settings_differ(made, replace(made, changes=(second,)), lambda target, key: read[key]) == [
        "source/a1: x is 1, the plan has 0"
    ]
    assert staleness.settings_differ(made, made, lambda target, key: read[key]) == []
