"""After a real run: its report in every form, the journal checked, and an archive for support without a secret."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from lab_client import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", name=f"r{os.getpid()}") as up:
        yield up


@pytest.fixture(scope="module")
def run(lab) -> str:
    """Move two VMs in native mode and put everything back; return the run's id."""
    done = lab.json("migrate", "--mode", "native", "--unproven", "--yes", "--restore", "vm1", "vm2")
    assert {move["state"] for move in done["moves"].values()} == {"success"}
    return done["run"]


@pytest.fixture(scope="module")
def journal(lab, run) -> Path:
    return Path(lab.json("status")["journal"])


def copied(journal: Path, folder: Path) -> Path:
    """Return a copy of the state directory, which a test may spoil."""
    return Path(shutil.copytree(journal.parent, folder / "state"))


def report(lab, *arguments: str, status: int = 0, state: Path | None = None) -> str:
    """Return what the command printed; the wrong status is an error, and so is a traceback."""
    before = ["--state-dir", str(state)] if state else []
    done = lab.run(*before, *arguments)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stderr


def test_the_report_is_of_what_the_run_did(lab, run):
    """The last run without a name, by the beginning of its id with one; every setting is restored."""
    told = json.loads(report(lab, "report", "--format", "json"))
    assert told["run"] == run
    assert [(vm["vm"], vm["state"], len(vm["attempts"])) for vm in told["vms"]] == [
        ("vm1", "success", 1), ("vm2", "success", 1),
    ]  # fmt: skip
    assert all(vm["bytes"] > 0 and vm["seconds"] > 0 and len(vm["points"]) > 1 for vm in told["vms"])
    assert told["settings"]
    assert {setting["now"] for setting in told["settings"]} == {"restored"}
    assert {one["site"] for one in told["connected"]} == {"source", "target"}
    assert told["notes"] == []
    assert json.loads(report(lab, "report", run[:4], "--format", "json"))["run"] == run


def test_every_form_names_every_vm(lab, run, tmp_path):
    """Markdown to stdout, CSV a line a VM, HTML to a file that only its owner reads."""
    text = report(lab, "report", run)
    assert text.startswith(f"# Run {run}, native mode")
    assert "not measured" in text
    rows = list(csv.DictReader(io.StringIO(report(lab, "report", "--format", "csv"))))
    assert [(row["vm"], row["state"]) for row in rows] == [("vm1", "success"), ("vm2", "success")]
    page = tmp_path / "report.html"
    assert report(lab, "report", run, "--format", "html", "-o", str(page)) == ""
    assert page.stat().st_mode & 0o777 == 0o600
    content = page.read_text()
    assert content.count("<svg") >= 2
    assert all(name in content and name in text for name in ("vm1", "vm2", "esx-a1"))


def test_the_audit_log_names_who_and_every_write(lab, run, journal):
    """Each setting with prior and new, the relocates, and the restore; nobody is unknown."""
    entries = json.loads(report(lab, "report", run, "--audit", "--format", "json"))["records"]
    kinds = {entry["what"] for entry in entries}
    assert {"run", "intended", "applied", "move", "task", "moved", "restore", "reverted"} <= kinds
    assert all("@" in entry["who"] for entry in entries)
    changed = [entry for entry in entries if entry["what"] == "intended"]
    assert all(entry["prior"] is not None and entry["new"] is not None for entry in changed)
    account = lab.spec.site("source").username
    assert all(account in e["account"] for e in changed if e["subject"].startswith("source/"))
    assert len(changed) == sum('"kind": "intended"' in line for line in journal.read_text().splitlines())
    assert run in report(lab, "report", "--audit", "--format", "csv")


def test_the_events_are_kept_for_their_owner_alone(journal, run):
    """Mode 600, a version, then events with their times."""
    path = journal.parent / "runs" / run / "events.ndjson"
    assert path.stat().st_mode & 0o777 == 0o600
    first, *rest = [json.loads(line) for line in path.read_text().splitlines()]
    assert (first["type"], first["schema"].partition(".")[0]) == ("version", "2")
    assert all({"type", "at", "t"} <= event.keys() for event in rest)
    assert {"run_started", "move", "run_ended", "changed"} <= {event["type"] for event in rest}


def test_an_unknown_run_is_refused_with_those_that_there_are(lab, run):
    """Exit 2, and nothing of the name becomes a path."""
    for name in ("nosuch", "../..", ""):
        assert run in report(lab, "report", name, status=2)
    assert run in report(lab, "support", "nosuch", status=2)


def test_a_whole_journal_verifies(lab, journal, tmp_path):
    """Also with a torn last line, which a death in the middle of a write leaves."""
    number = len(journal.read_text().splitlines())
    said = report(lab, "report", "--verify")
    assert f"{number} records" in said
    state = copied(journal, tmp_path)
    with (state / "journal.jsonl").open("a") as file:
        file.write(f'{{"seq": {number + 1}, "at": "20')
    assert "torn" in report(lab, "report", "--verify", state=state)
    assert "vm1" in report(lab, "report", state=state)


@pytest.mark.parametrize("spoil", ["value", "left-out", "swapped", "newer"])
def test_an_altered_journal_does_not(lab, journal, tmp_path, spoil):
    """Exit 2 with the line; one of a newer version is refused as well, and says so."""
    state = copied(journal, tmp_path)
    lines = (state / "journal.jsonl").read_text().splitlines()
    if spoil == "value":
        lines[4] = lines[4].replace('"at": "20', '"at": "19')
    elif spoil == "left-out":
        del lines[4]
    elif spoil == "swapped":
        lines[4], lines[5] = lines[5], lines[4]
    else:
        lines[0] = lines[0].replace('"schema": 2', '"schema": 99')
    (state / "journal.jsonl").write_text("\n".join(lines) + "\n")
    said = report(lab, "report", "--verify", status=2, state=state)
    assert ("newer lrvmotion" if spoil == "newer" else "line 5 does not follow") in said


def test_what_became_of_the_events_does_not_stop_the_report(lab, run, journal, tmp_path):
    """Torn, gone, or empty: it says what is missing. A newer version is refused."""
    state = copied(journal, tmp_path)
    path = state / "runs" / run / "events.ndjson"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert "cut short" in report(lab, "report", state=state)
    for spoiled in (b"", b"\x00\xff" * 50):
        path.write_bytes(spoiled)
        assert "were not kept" in report(lab, "report", state=state)
    path.write_text('{"type": "version", "schema": "7.0"}\n')
    assert "newer lrvmotion" in report(lab, "report", status=2, state=state)
    shutil.rmtree(state / "runs")
    assert "were not kept" in report(lab, "report", state=state)


def test_a_report_that_cannot_be_written_says_so(lab, run, tmp_path):
    """Exit 2, in a sentence."""
    where = str(tmp_path / "no" / "such" / "folder.html")
    assert "cannot be written" in report(lab, "report", "--format", "html", "-o", where, status=2)
    assert "cannot be written" in report(lab, "support", "-o", where, status=2)


@pytest.mark.parametrize("command", [("report",), ("support",), ("plan", "--mode", "stock", "vm1")])
def test_what_is_no_file_stays_what_it_is(lab, run, tmp_path, command):
    """A pipe, or a device as /dev/null: exit 2, and no file is put in its place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "it is not a file" in report(lab, *command, "-o", str(pipe), status=2)
    assert pipe.is_fifo()


def unpacked(path: Path) -> dict[str, str]:
    with tarfile.open(path) as tar:
        files = {item.name.partition("/")[2]: tar.extractfile(item) for item in tar.getmembers()}
        return {name: file.read().decode() for name, file in files.items() if file is not None}


def test_the_support_archive_has_all_and_no_secret(lab, run, journal, tmp_path):
    """The passwords of both vCenters are in none of its bytes, not even where a file of ours had one."""
    passwords = [lab.spec.site(site).password for site in ("source", "target")]
    state = copied(journal, tmp_path)
    with (state / "runs" / run / "events.ndjson").open("a") as file:
        event = {"type": "message", "at": "2026-11-23T20:00:00+00:00", "t": 1.0, "text": f"login with {passwords[0]}"}
        file.write(json.dumps(event) + "\n")
    path = tmp_path / "support.tar.gz"
    said = report(lab, "--debug", "support", run[:3], "-o", str(path), state=state)
    assert path.stat().st_mode & 0o777 == 0o600
    files = unpacked(path)
    assert {"journal.ndjson", "plan.json", "events.ndjson", "report.md", "configuration.json", "versions.json"} <= set(
        files
    )
    whole = gzip.decompress(path.read_bytes()).decode(errors="replace") + said
    assert not any(password in whole for password in passwords)
    assert "login with ***" in files["events.ndjson"]
    assert json.loads(files["plan.json"])["migrations"][0]["vm"] == "vm1"
    versions = json.loads(files["versions.json"])
    assert versions["lrvmotion"]
    assert "pyvmomi" in versions["libraries"]
    assert [one["site"] for one in versions["connected"]]
    assert all(json.loads(line)["hash"] for line in files["journal.ndjson"].splitlines())


def test_an_archive_takes_every_configuration_that_a_run_takes(lab, run, journal, tmp_path):
    """One with a byte order mark, as an editor on Windows writes it."""
    marked, path = tmp_path / "marked.toml", tmp_path / "support.tar.gz"
    marked.write_bytes(b"\xef\xbb\xbf" + lab.config.read_bytes())
    done = lab.run(
        "--config", str(marked), "--state-dir", str(journal.parent), "support", run, "-o", str(path), config=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(unpacked(path)["configuration.json"])["source"]["vcenter"] == "127.0.0.1"


def test_an_anonymous_archive_still_tells_the_story(lab, run, tmp_path):
    """The same VM is the same word in every file; hosts, addresses and accounts are not in it."""
    path = tmp_path / "support.tar.gz"
    report(lab, "support", "--anonymous", "-o", str(path))
    files = unpacked(path)
    whole = "\n".join(files.values())
    for name in ("vm1", "vm2", "esx-a1", "127.0.0.1", "10.88.0.", lab.spec.site("source").username):
        assert not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", whole), name
    (vm, other) = [one["vm"] for one in json.loads(files["report.json"])["vms"]]
    assert vm != other
    assert vm in files["journal.ndjson"]
    assert vm in files["report.md"]
