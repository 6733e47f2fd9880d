"""lrvmotion explain: findings, exit statuses, keys and options in words; near misses; each key of the configuration."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from lrvmotion.checks.catalogue import Code
from lrvmotion.cli import run
from lrvmotion.commands.explain import _complete
from lrvmotion.config import reference
from lrvmotion.config.schema import example_file
from lrvmotion.errors import ExitStatus
from lrvmotion.plan.settings import KEYS
from lrvmotion.workflows import explanations


def said(capsys, *words: str, status: ExitStatus = ExitStatus.OK) -> str:
    """Explain *words* and return what was printed, an error's sentence and hint included."""
    assert run(["explain", *words]) == status
    out = capsys.readouterr()
    return out.out + out.err


@pytest.mark.parametrize(
    ("word", "lines"),
    [
        ("vm-snapshots", ["vm-snapshots: finding, warning", "all but its topmost disks", "delete the snapshots"]),
        ("setting-theirs", ["setting-theirs: finding, error or warning"]),
        ("7", ["7: exit status", "not fully restored", "lrvmotion status names what is left"]),
        ("limits.rtt_ms", ["limits.rtt_ms: configuration key, default 150", "RTT, ms, above which nothing is moved"]),
        ("source.vcenter", ["source.vcenter: configuration key, must be set"]),
        ('source.vmotion.hosts."esx-1".addresses', ["source.vmotion.hosts.addresses: configuration key"]),
        ("relay.source[0].NAME", ["relay.source.name: configuration key, must be set"]),
        ("target.port", ["target.port: configuration key, default 443", "TCP port of its API"]),
        ("rtt_ms", ["limits.rtt_ms: configuration key"]),
        ("[vm-usb]", ["vm-usb: finding, error"]),
        (
            "Migrate.VMotionStreamHelpers",
            ["host option, default 0, automatic", "native mode sets 48 on source and target hosts: the automatic count",
             "proxy mode sets 5 on source hosts: a few streams"],
        ),
        ("vmotionstreamhelpers", ["Migrate.VMotionStreamHelpers: host option"]),
    ],
)  # fmt: skip
def test_a_word_is_explained(capsys, word, lines):
    """What it is, what it means, its default or severity, and what helps; as the word is written elsewhere, too."""
    text = said(capsys, word)
    assert all(line in text for line in lines), text
    assert "`" not in text


def test_what_begins_so_is_listed_and_without_a_word_everything(capsys):
    """A line each, by its part, with its name first."""
    path = said(capsys, "path").splitlines()
    assert path[0] == "Findings: The path"
    assert all(line.startswith("  path-") for line in path[1:])
    words = [line.split()[0] for line in said(capsys).splitlines() if line.startswith("  ")]
    assert words == [one.name for one in explanations.everything()]
    assert len(words) == len(set(words)) > len(Code) + len(ExitStatus) + len(KEYS)


def test_near_misses_are_proposed(capsys):
    """A word that nothing is called ends with exit status 2, and a hint."""
    text = said(capsys, "vm-snapshot", status=ExitStatus.USAGE)
    assert "nothing called 'vm-snapshot'" in text
    assert "did you mean vm-snapshots" in text
    assert "hint: 'lrvmotion explain' lists everything" in said(capsys, "§", status=ExitStatus.USAGE)


def test_json_is_one_document(capsys):
    """With everything that is known of each."""
    found: dict[str, Any] = json.loads(said(capsys, "vm-sriov", "--output", "json"))
    assert found["schema"] == 1
    (one,) = found["explanations"]
    assert (one["name"], one["kind"], one["severities"]) == ("vm-sriov", "finding", ["error", "warning"])
    assert one["meaning"]
    assert one["remedy"]


def test_the_shell_completes_every_word():
    """Codes, statuses, keys and options, each with what it means."""
    assert ("vm-usb", Code.VM_USB.meaning) in _complete("vm-u")
    assert [name for name, _ in _complete("migrate.v")] == ["Migrate.VMotionStreamHelpers"]
    assert len(_complete("")) == len(explanations.everything())


def test_every_key_is_said_by_the_example():
    """examples/full.toml is where people look, and what explain prints is read from it."""
    assert [key.key for key in reference.every_key() if not key.meaning] == []


def test_a_comment_belongs_to_its_key():
    """On its line and further below, or directly above; a table's above it; what is commented out counts."""
    text = """\
# about the file

a = 1   # of a,
        # and on
# of b,
# above it
b2 = "#"
# c = []
d = 2

# of the table
[t.x."name"]
e = 3   # of e
[[t.y]]
f = [1, 2]   # of f
[[t.y]]
f = [3]   # of another
"""
    assert tomllib.loads(text)
    assert reference.comments(text) == {
        "a": "of a, and on", "b2": "of b, above it", "c": "of b, above it", "d": "of b, above it",
        "t.x": "of the table", "t.x.e": "of e", "t.y": "", "t.y.f": "of f",
    }  # fmt: skip
    assert reference.comments(example_file().read_text(encoding="utf-8"))["limits.loss"].startswith("idle loss")
