"""A journal that is not what was written is refused by line, and never taken for an empty one."""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
from contextlib import suppress
from pathlib import Path

import pytest

from fakes import change_of
from lrvmotion import cli
from lrvmotion.errors import UsageError
from lrvmotion.journal import journal as journals
from lrvmotion.journal.chain import GENESIS, chained, line, parse
from lrvmotion.journal.journal import Journal
from lrvmotion.journal.records import SCHEMA, CapChange, Connection, MoveBegun, Other, Record, RunBegun, RunPlan
from lrvmotion.model.setting import ABSENT, Value, document
from lrvmotion.model.target_id import ConnectionId, TargetId
from lrvmotion.model.vm.vm_metadata import VmMetadata


def clock():
    return "2026-01-01T00:00:00.123+00:00"


def write(directory: Path, count: int = 40) -> list[bytes]:
    """Write a journal of *count* records of every kind that a run has, and return its lines."""
    with Journal(directory, clock) as journal:
        journal.append("abc123", RunBegun(mode="native", owner_id="abc123", vms=("vm1", "vm\u00e4 2")))
        journal.append("abc123", RunPlan(plan={"plan": {"forecast": None}, "share": [0.5, 1e-07, -3], "on": True}))
        site = Connection(
            name=ConnectionId("source"), host="vc-a", port=443, username="u", pem="-----\nMII=\n", known_hosts=("k",)
        )
        journal.append("abc123", site)
        number = 0
        while len(journal.records) < count:
            number += 1
            target, key = f"source/esx-a{number}", f"option/Migrate.X{number}"
            planned = document(content='a "quoted" \\ line\n', mode="0644") if number % 3 else Value("long", number)
            change = change_of(target, key, ABSENT, planned, "streams: {48}")
            journal.intended("abc123", change)
            journal.applied("abc123", target, key)
            if number % 4 == 0:
                journal.reverted("def456", target, key, ABSENT)
                metadata = VmMetadata(macs={4000: "00:50:56:00:00:01"})
                move = MoveBegun(vm="vm1", source_host="a", target_host="b", attempt=number, metadata=metadata)
                journal.append("abc123", move)
        content = journal.path.read_bytes()
    return [text + b"\n" for text in content.removesuffix(b"\n").split(b"\n")][:count]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[list[bytes], list[Record]]:
    lines = write(tmp_path_factory.mktemp("journal"))
    return lines, parse(b"".join(lines), "j").records


def goes_on(written, number: int, content: bytes) -> list[Record] | None:
    """Return what is read of *content* behind the first *number* lines, None where it is refused by line."""
    try:
        return parse(content, "j", after=written[1][number - 1] if number else None, number=number).records
    except UsageError as error:
        assert "j: line " in error.message
        assert "altered" in error.message or "newer" in error.message
        return None


def test_every_flipped_bit_is_refused_or_changes_nothing(written):
    """Of 40 records: each bit of each line, its newline too; what is read is all that was written."""
    lines, whole = written
    flips = wrong = 0
    for number, text in enumerate(lines):
        rest = b"".join(lines[number + 1 :])
        for at in range(len(text)):
            for bit in range(8):
                flipped = text[:at] + bytes([text[at] ^ 1 << bit]) + text[at + 1 :]
                read = goes_on(written, number, flipped + rest)
                flips += 1
                wrong += read is not None and read != whole[number:]
    assert len(lines) == 40
    assert flips > 60_000
    assert wrong == 0


@pytest.mark.parametrize(
    "by", [b"", b"\x00", b"\t", b" ", b'"', b"\\", b"}", b".", b"\n", b"\r", b"0", b"aa"], ids=repr
)
def test_a_byte_that_is_another_or_gone_is_refused_or_changes_nothing(written, by):
    """At every place of the first, a middle and the last line; an intended that is forgotten would stay on its host."""
    lines, whole = written
    for number in (0, 20, 39):
        text, rest = lines[number], b"".join(lines[number + 1 :])
        for at in range(len(text)):
            read = goes_on(written, number, text[:at] + by + text[at + 1 :] + rest)
            assert read is None or read == whole[number:], (number, at, text[at : at + 9])


def test_a_file_that_ends_at_any_byte_has_all_records_before(written):
    """That is what a death in the middle of a write leaves: a beginning of the record that was due."""
    lines, whole = written
    for number, text in enumerate(lines):
        last = len(text) - 3  # `"}` and the newline: with its hash a record is whole
        for length in range(len(text)):
            read = parse(text[:length], "j", after=whole[number - 1] if number else None, number=number)
            assert read.records == (whole[number : number + 1] if length >= last else [])
            assert read.torn == (length > 0)


def test_several_deaths_at_one_record_leave_each_its_beginning(written):
    """The next writer closes the torn line, and may die as well: whatever it left is no record, and no alteration."""
    lines, whole = written
    torn = b"".join(lines[7][:length] + b"\n" for length in (1, 9, 60, 200))
    assert parse(b"".join(lines[:7]) + torn + b"".join(lines[7:]), "j").records == whole
    with pytest.raises(UsageError, match=r"line 9 is neither a record nor the beginning of one"):
        parse(b"".join(lines[:7]) + lines[7][:80] + b"\n" + lines[6][:80] + b"\n", "j")


def test_lines_that_are_dropped_doubled_or_swapped_are_refused(written):
    """By the number of the first that does not follow; a journal without its last lines is a shorter one."""
    lines, _ = written
    for number in range(40):
        for other in (
            [*lines[:number], *lines[number + 1 :]],
            [*lines[: number + 1], *lines[number:]],
            [*lines[:number], *lines[number + 1 : number + 2], lines[number], *lines[number + 2 :]],
        ):
            if other in (lines, lines[:39]):
                continue
            with pytest.raises(UsageError, match=f"line {number + 1} |line {number + 2} "):
                parse(b"".join(other), "j")
    with pytest.raises(UsageError, match="line 1 "):
        parse(b"".join(reversed(lines)), "j")


@pytest.mark.parametrize(
    "newline", [b"", b" ", b"\r", b"\r\n", b"\n\n", b"\x00", b"\x0b", b"\xe2\x80\xa8", b",\n"], ids=repr
)
def test_another_newline_anywhere_is_refused(written, newline):
    """One, or all of them, and the last one above all, behind which nothing follows."""
    lines, whole = written
    for number in range(40):
        altered = [*lines[:number], lines[number][:-1] + newline, *lines[number + 1 :]]
        if newline == b"" and number == 39:
            assert parse(b"".join(altered), "j").records == whole
            continue
        with pytest.raises(UsageError, match=f"line {number + 1} |line {number + 2} "):
            parse(b"".join(altered), "j")
    with pytest.raises(UsageError, match=r"line [12] "):
        parse(b"".join(text[:-1] + newline for text in lines), "j")


def damages(whole: bytes) -> dict[str, bytes]:
    """Return a journal as accidents and tools leave it."""
    first, rest = whole.split(b"\n", 1)
    return {
        "zeros": bytes(len(whole)),
        "CR for LF": whole.replace(b"\n", b"\r"),
        "CRLF": whole.replace(b"\n", b"\r\n"),
        "one long line": whole.replace(b"\n", b""),
        "one long line of blanks": whole.replace(b"\n", b" "),
        "gzip": gzip.compress(whole),
        "random bytes": random.Random(1).randbytes(len(whole)),
        "first line cut off": rest,
        "first bytes cut off": whole[7:],
        "lines cut at 60": b"".join(text[:60] + b"\n" for text in whole.splitlines()),
        "UTF-16": whole.decode().encode("utf-16"),
        "UTF-16 without a BOM": whole.decode().encode("utf-16-le"),
        "UTF-32": whole.decode().encode("utf-32"),
        "a BOM": b"\xef\xbb\xbf" + whole,
        "base64": base64.b64encode(whole),
        "empty": b"",
        "newlines only": b"\n" * 40,
        "blank lines between": whole.replace(b"\n", b"\n\n"),
        "zeros behind": whole + bytes(512),
        "another journal": b'{"a": 1}\n' * 40,
        "a list": b"[" + whole.replace(b"\n", b",") + b"null]",
        "pretty": json.dumps([json.loads(text) for text in whole.splitlines()], indent=1).encode(),
        "the first record alone torn": first[:30],
        "text": b"this file was moved\n",
    }


def state_of(written, state: Path) -> Path:
    """Make *state* the directory of the journal that was *written*, and return the journal's path."""
    state.mkdir(exist_ok=True)
    path = state / "journal.jsonl"
    path.write_bytes(b"".join(written[0]))
    with Journal(state, clock):
        return path


@pytest.mark.parametrize("damage", damages(b"{}\n"))
def test_a_damaged_journal_is_refused_by_all_that_read_it(written, tmp_path, damage):
    """Not one reads it as a journal without records, however it was damaged, and nobody may write into it."""
    path = state_of(written, tmp_path)
    path.write_bytes(damages(path.read_bytes())[damage])
    with pytest.raises(UsageError, match="altered"):
        journals.read(path)
    with pytest.raises(UsageError, match="altered"), Journal(tmp_path, clock):
        pass


COMMANDS = (
    ["restore-defaults"],
    ["status"],
    ["report"],
    ["report", "--verify"],
    ["report", "--audit"],
    ["support"],
    ["throttle", "2G"],
)


@pytest.mark.parametrize(
    "damage", ["zeros", "UTF-16", "empty", "first line cut off", "gone", "pipe", "folder", "device"]
)
def test_every_command_ends_with_2_and_calls_nothing_restored(written, tmp_path, monkeypatch, capsys, damage):
    """One sentence with the journal's path and a hint; a pipe is not waited for. Without a journal a restore ends 7."""
    state = tmp_path / "state"
    path = state_of(written, state)
    content = path.read_bytes()
    path.unlink()
    if damage == "pipe":
        os.mkfifo(path)
    elif damage == "folder":
        path.mkdir()
    elif damage == "device":
        path.symlink_to("/dev/zero")
    elif damage != "gone":
        path.write_bytes(damages(content)[damage])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    config = tmp_path / "c.toml"
    config.write_text('[source]\nvcenter = "a"\nusername = "u"\n[target]\nvcenter = "b"\nusername = "u"\n')
    migrate = ["--config", str(config), "migrate", "--mode", "native", "--yes", "vm1"]
    for command in (*COMMANDS, migrate, ["--config", str(config), "migrate", "--resume", "--yes"]):
        status = cli.run(["--state-dir", str(state), *command])
        said = capsys.readouterr()
        assert status == (7 if damage == "gone" and command == ["restore-defaults"] else 2), command
        assert str(path) in said.err
        assert "hint:" in said.err
        assert "as before" not in said.out
        assert "nothing is outstanding" not in said.out
        assert "no run yet" not in said.out


def test_an_empty_file_is_a_new_journal_where_none_was(tmp_path):
    """A death between making the file and its first byte leaves one, and a restore with nothing to do."""
    with Journal(tmp_path, clock):
        pass
    assert journals.read(tmp_path / "journal.jsonl").records == []
    (tmp_path / "journal.jsonl").write_bytes(b'{"seq": 1, "at": "2026')
    with Journal(tmp_path, clock) as journal:
        journal.append("r", RunBegun(mode="native", vms=()))
        assert [record.seq for record in journal.records] == [1]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("run", {"mode": "native"}),
        ("run", {"mode": "native", "vms": [1]}),
        ("run", {"mode": "native", "vms": [], "schema": "1"}),
        ("run", {"mode": "native", "vms": [], "schema": True}),
        ("run", {"mode": "native", "vms": [], "mark": 5}),
        ("run", {"mode": "native", "vms": [], "owner_id": 5}),
        ("run", {"mode": "native", "vms": [], "back": 1}),
        ("plan", {"plan": []}),
        ("connection", {"name": "source", "host": "vc-a", "port": "443", "username": "u"}),
        ("connection", {"name": "relay/r", "host": "r", "port": 22, "username": "u", "known_hosts": [5]}),
        ("intended", {"target": "source/a", "key": "option/x", "prior": 5, "planned": {"type": "long", "data": 1}}),
        ("intended", {"target": "source/a", "key": ["x"], "prior": ABSENT.to_json(), "planned": ABSENT.to_json()}),
        ("intended", {"target": "a", "key": "k", "prior": {"type": "long", "data": "1"}, "planned": ABSENT.to_json()}),
        ("reverted", {"target": "a", "key": "k", "value": {"type": "document", "data": "[]"}}),
        ("applied", {}),
        ("move", {"vm": "vm1", "source_host": "a", "target_host": "b", "attempt": True}),
        ("move", {"vm": "vm1", "source_host": "a", "target_host": "b", "try": "1"}),
        ("move", {"vm": "vm1", "source_host": "a", "target_host": "b", "metadata": []}),
        ("move", {"vm": "vm1", "source_host": "a", "target_host": "b", "metadata": {"macs": {"x": "y"}}}),
        ("moved", {"vm": "vm1", "state": None, "reason": ""}),
        ("cap", {"target": "relay/r"}),
        ("cancel", {"target": "source/a", "running": "vm1"}),
        ("restore", {"accounts": ["u at h"]}),
    ],
    ids=str,
)
def test_a_record_that_no_writer_of_ours_makes_is_refused(kind, body):
    """Its chain may be right: whoever can write the file can write all of it again."""
    with pytest.raises(UsageError, match="line 1 "):
        parse(line(chained(None, at=clock(), run="r", body=Other(name=kind, content=body))), "j")


@pytest.mark.parametrize("name", ["seq", "at", "kind", "run", "body", "hash"])
@pytest.mark.parametrize("value", [None, True, 7, -1, 1.0, "x", [], {}, "9" * 5000])
def test_fields_of_another_type_are_refused(name, value):
    """Whatever stands in place of each."""
    body = CapChange(target=TargetId("relay/r"), planned=None)
    record = json.loads(line(chained(None, at=clock(), run="r", body=body)))
    text = json.dumps({**record, name: value}).encode() + b"\n"
    if value == record[name]:
        return
    with pytest.raises(UsageError, match="line 1 "):
        parse(text, "j")


@pytest.mark.parametrize("deep", [100, 5_000, 200_000])
@pytest.mark.parametrize("bracket", [b"[", b'{"a": '])
def test_deep_nesting_is_read_or_refused(deep, bracket):
    """Python's stack is not the limit."""
    close = {b"[": b"]"}.get(bracket, b"}")
    nested = bracket * deep + b"1" + close * deep
    for text in (
        nested,
        b'{"seq": 1, "at": "' + clock().encode() + b'", "kind": "k", "run": "r", "body": {"x": ' + nested,
    ):
        for end in (b"", b'}, "hash": "' + GENESIS.encode() + b'"}\n'):
            with suppress(UsageError):
                assert parse(text + end, "j").records == []


def test_a_torn_value_of_every_type_is_a_beginning():
    """Numbers, words and escapes of JSON break off anywhere."""
    values = [
        True,
        False,
        None,
        -1,
        -0.5,
        1.5e-07,
        1e22,
        float("inf"),
        '\u00e4"\\/\n\x01\U0001f600',
        [],
        {},
        [[1, {"a": []}]],
    ]
    body = Other(name="later", content={"values": values, "end": {"x": 1}})
    text = line(chained(None, at=clock(), run="r", body=body))
    for length in range(1, len(text) - 3):
        assert parse(text[:length], "j").records == []
    assert len(parse(text, "j").records) == 1
    assert SCHEMA == 2
