"""The real CLI against a lab without a network: whatever ends a run, in every phase, to every output, ends it properly.

The table of docs/safety.md is what is tested: each of its rows, to text, json and ndjson.
"""

from __future__ import annotations

import json
import os
import re
from itertools import product
from pathlib import Path

import pytest

from held_phase import HELD, Run, begin, delayed, go_on, hold, strike, until
from lab_client import Lab

EVENTS = ("the reader leaves", "the disk is full", "SIGHUP", "SIGTERM")
PHASES = ("planning", "applying", "moving", "restoring")
OUTPUTS = ("text", "json", "ndjson")


def table() -> dict[tuple[str, str], tuple[str, int, str]]:
    """Return the table of docs/safety.md: what becomes of it, the exit status and the last words, by what and while."""
    page = (Path(__file__).parents[2] / "docs" / "safety.md").read_text()
    rows = page.partition("| what | while |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {(what, phase): (becomes, int(status), last) for what, phase, becomes, status, last in cells}


TABLE = table()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "64", name=f"e{os.getpid()}") as up:
        yield up


@pytest.fixture
def vms(lab) -> list[str]:
    """Return two VMs that are at the source, on one host: one moves after the other."""
    there = lab.control("source", "state")["vms"]
    by_host: dict[str, list[str]] = {}
    for name in sorted(there, key=lambda name: int(name[2:])):
        by_host.setdefault(there[name]["host"], []).append(name)
    return max(by_host.values(), key=len)[:2]


@pytest.fixture(autouse=True)
def clean(lab):
    """Let go on what is held, and restore what is left, so that the next one finds the lab as it was."""
    before = lab.state()
    yield
    lab.control("source", "fault_clear")
    lab.json("restore-defaults")
    assert lab.state() == before


def last_words(lab, run: Run, output: str, said: str) -> str:
    """Return what a user has at the end: the summary or document on stdout, the error on stderr, or the run's log."""
    if said.startswith("run.log"):
        (newest,) = sorted((Path(lab.json("status")["journal"]).parent / "runs").iterdir(), key=_began)[-1:]
        return (newest / "run.log").read_text()
    return run.stderr if said == "interrupted" and output == "text" else run.stdout


def _began(folder: Path) -> float:
    return (folder / "run.log").stat().st_mtime if (folder / "run.log").exists() else 0.0


def check_last_words(said: str, words: str, output: str, unmoved: list[str], outstanding: int) -> None:
    """Assert that *words* say what the table has as *said*; whoever reads JSON finds the same in its fields."""
    resume, restore = "`migrate --resume`" in said, "`restore-defaults`" in said
    if said.startswith("run.log"):
        end = words.splitlines()[-8:]
        assert ("restore-defaults" in "\n".join(end)) == restore, words
        assert ("remain changed" in "\n".join(end)) == restore, words
        assert "1 of 1 VM moved" in words or "2 of 2 VMs moved" in words
        return
    if output == "text":
        if said == "interrupted":
            assert words.splitlines()[-2:][0] == "lrvmotion: interrupted", words
            return
        assert ("migrate --resume --run" in words) == resume, words
        assert (
            "remain changed for the next VMs. To restore them:" in words or "remain changed. To restore" in words
        ) == restore, words
        assert all(vm in words for vm in unmoved)
        return
    final = json.loads(words.splitlines()[-1])
    if said == "interrupted":
        error = final["error"] if output == "json" else final
        assert (error["message"], error["status"]) == ("interrupted", 130)
        assert output == "json" or final["type"] == "error"
        return
    assert output == "json" or final["type"] == "run_ended"
    assert final["outstanding"] == outstanding
    assert (final["resume"] is not None) == resume
    assert (final["restore"] is not None) == restore
    assert final["unmoved" if output == "json" else "left"] == unmoved
    if output == "json":
        assert final["status"] == 130


def check_state(lab, becomes: str, vms: list[str], before: dict, outstanding: list) -> list[str]:
    """Assert what the table says of VMs and settings; return the VMs that have not moved."""
    at_target = [vm for vm in vms if vm in lab.control("target", "state")["vms"]]
    at_source = [vm for vm in vms if vm in lab.control("source", "state")["vms"]]
    assert sorted(at_target + at_source) == sorted(vms)  # each is on one side
    assert not any(vm["relocating"] for vm in lab.control("source", "state")["vms"].values())
    moved = {"no VM moves": 0, "all VMs move": len(vms), "what moves ends": 1}[becomes.partition(",")[0]]
    assert len(at_target) == moved
    remains = "remain changed" in becomes or "remains changed" in becomes
    assert bool(outstanding) == remains
    assert (lab.state() == before) == (not remains)
    return [vm for vm in vms if vm not in at_target]


@pytest.mark.parametrize(("event", "phase", "output"), list(product(EVENTS, PHASES, OUTPUTS)))
def test_a_run_ends_as_the_table_says(lab, vms, tmp_path, event, phase, output):
    """State, exit status and last words of docs/safety.md; the last line is true; no traceback anywhere."""
    becomes, status, said = TABLE[event, phase]
    if phase != "moving" or event not in {"SIGHUP", "SIGTERM"}:
        vms = vms[:1]
    before, writes = lab.state(), lab.control("source", "calls")["writes"]
    options = ["--restore"] if phase == "restoring" else []
    hold(lab, "moving" if phase == "restoring" else phase)
    run = begin(lab, tmp_path, "migrate", "--mode", "native", "--unproven", "--yes", *options, "--output", output, *vms)
    if phase == "restoring":
        until(lambda: delayed(lab, "RelocateVM_Task"), "a VM moves")
        hold(lab, phase)
        lab.control("source", "fault_clear", method="RelocateVM_Task")
    until(lambda: delayed(lab, HELD[phase]["method"]) or run.process.poll() is not None, f"{phase} goes on")
    assert run.process.poll() is None, (run.stdout, run.stderr)
    strike(run, event, tmp_path)
    go_on(lab)
    assert run.end() == status, (run.stdout, run.stderr)
    assert "Traceback" not in run.stderr
    if "nothing is changed" in becomes:
        assert lab.control("source", "calls")["writes"] == writes
    outstanding = lab.json("status")["outstanding"]
    unmoved = check_state(lab, becomes, vms, before, outstanding)
    check_last_words(said, last_words(lab, run, output, said), output, unmoved, len(outstanding))


def test_the_table_of_the_page_is_the_table_that_is_tested():
    """Every event in every phase, once; nothing else."""
    assert sorted(TABLE) == sorted(product(EVENTS, PHASES))
    page = (Path(__file__).parents[2] / "docs" / "safety.md").read_text()
    rows = re.findall(rf"^\| (?:{'|'.join(EVENTS)}) \| (?:{'|'.join(PHASES)}) \|", page, flags=re.MULTILINE)
    assert len(rows) == len(TABLE)
