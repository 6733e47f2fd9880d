"""What goes into a support archive: a run's records, plan, events, report and versions, without secrets."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from lrvmotion.events import to_json
from lrvmotion.journal.audit_log import Entry
from lrvmotion.journal.event_log import RecordedEvents
from lrvmotion.journal.records import (
    Applied,
    CancelAsked,
    CapChange,
    Connection,
    Intended,
    MetadataWrite,
    MoveBegun,
    RebootStep,
    Record,
    RestoreBegun,
    Reverted,
    RunBegun,
    RunPlan,
    Throttled,
)
from lrvmotion.model.target_id import TargetId
from lrvmotion.redaction import Redactor
from lrvmotion.report.run_history import RunHistory
from lrvmotion.views.report import data as report_data
from lrvmotion.views.report import markdown

LEFT_OUT = "(left out)"
README = """\
What lrvmotion knows of run {run}, made by 'lrvmotion support'.

journal.ndjson      the journal's records of the run and of what was restored of it (their hashes are those of the whole
                    journal: 'lrvmotion report --verify' checks it where it is)
audit.csv           the same, a line a write: who, when, what, prior, new
plan.json           the plan of the run
events.ndjson       every event with its time
report.md, .json    the report
configuration.json  the configuration as it is now
versions.json       this program, Python, its libraries, the system, and what vCenters and relay hosts report
{inventory}
Left out: passwords, tokens, the words of hooks, all of a web address but its server.{anonymous}
"""
INVENTORY = """\
inventory.json      both vCenters as they were when this was packed, names and addresses replaced: 'lrvmotion lab up
                    --estate inventory.json' builds simulated ones with the same
"""
ANONYMOUS = """
Names and addresses are replaced, the same by the same word everywhere. Certificates, host keys and the configuration's
lists of VMs and mappings are left out. What only a sentence names (a cluster, another VM) may stand there still, and so
may a name of one letter: look before you send it."""
OURS = {
    *("vm", "host", "network", "datastore", "Resources"),  # every vCenter's own folders and pool
    *("source", "target", "box", "relay", "mode", "run", "name", "state", "key", "kind", "type", "body", "at", "root"),
}
PLAIN = {
    "mode",
    "limits",
    "settings",
    "source",
    "target",
    "relay",
    "window",
    "time_zone",
}  # sections that list no names of others


def names(records: Sequence[Record], history: RunHistory, configuration: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return every name that says whose data centre this is, (kind, name)."""
    found: dict[str, str] = {vm.vm: "vm" for vm in history.vms}

    def add(kind: str, name: Any) -> None:  # noqa: ANN401 - any JSON
        for part in (name, *name.split("/")) if isinstance(name, str) else ():
            if part and part not in OURS:
                found.setdefault(part, kind)

    for record in records:
        match record.body:
            case Intended(target=at) | Applied(target=at) | Reverted(target=at):
                _at(add, at)
            case CapChange(target=at) | RebootStep(host=at) | CancelAsked(target=TargetId() as at):
                _at(add, at)
            case MetadataWrite(vm=moved):
                add("vm", moved)
            case MoveBegun(source_host=source, target_host=target):
                add("host", source)
                add("host", target)
            case Connection(host=host, username=user):
                add("server", host)
                _account(add, user)
            case RunPlan(plan=plan):
                for kind, name in (named for place in _places(plan) for named in place):
                    add(kind, name)
            case RunBegun(who=who, accounts=accounts) | RestoreBegun(who=who, accounts=accounts):
                for account in (who, *accounts.values()):
                    _account(add, account)
            case Throttled(target=at, who=who, accounts=accounts):
                _at(add, at)
                for account in (who, *accounts.values()):
                    _account(add, account)
            case _:
                pass
    for vm in history.vms:
        for carried in vm.carried:
            add(carried.kind, carried.name)
    for one in history.connected:
        add("server", one.address.rpartition(":")[0])
    for site in ("source", "target"):
        _account(add, str(_of(configuration, site, "username") or ""))
        add("server", _of(configuration, site, "vcenter"))
        for host in [*(_of(configuration, site, "hosts") or ()), *(_of(configuration, site, "vmotion", "hosts") or ())]:
            add("host", host)
    for box in [*(_of(configuration, "relay", "source") or ()), _of(configuration, "relay", "target") or {}]:
        add("box", box.get("name"))
        add("server", box.get("host"))
        _account(add, str(box.get("user") or ""))
    for name in _strings(configuration):
        if not name.startswith(("/", "~", ".")):
            for server in re.findall(r"(?:[\w-]+\.)+[a-zA-Z][\w-]+", name):
                add("server", server)
    return [(kind, name) for name, kind in found.items()]


def _told(record: Record) -> dict[str, Any]:
    """Return a record's body without what administrators wrote about their VMs: notes may hold anything."""
    said = record.body.to_json()
    match record.body:
        case MoveBegun(metadata=metadata) if metadata is not None:
            return {**said, "metadata": sorted(item.kind for item in metadata.things)}
        case MetadataWrite():
            return {**said, "planned": LEFT_OUT}
        case _:
            return said


def files(
    history: RunHistory,
    records: Sequence[Record],
    entries: Sequence[Entry],
    kept: RecordedEvents,
    plan: Mapping[str, Any] | None,
    configuration: Mapping[str, Any],
    redactor: Redactor,
    *,
    anonymous: bool,
    inventory: str | None = None,
) -> dict[str, str]:
    """Return the archive's files, by name; *inventory* is an anonymous one, as it is written."""
    events = [{"at": told.at, "t": told.t, "sitting": told.sitting, **to_json(told.event)} for told in kept.told]
    connected = [{"site": one.site, "address": one.address, "version": one.version} for one in history.connected]
    plain = [
        {"seq": r.seq, "at": r.at, "kind": r.kind, "run": r.run, "body": _told(r), "hash": r.hash} for r in records
    ]

    audited = [replace(entry, new=LEFT_OUT) if entry.what == "carry" else entry for entry in entries]

    def document(content: Any) -> str:  # noqa: ANN401 - any JSON
        return json.dumps(redactor.value(content), indent=1, ensure_ascii=False) + "\n"

    def lines(content: Iterable[Mapping[str, Any]]) -> str:
        return "".join(json.dumps(redactor.value(one), ensure_ascii=False) + "\n" for one in content)

    return {
        "README.txt": README.format(
            run=history.run,
            anonymous=ANONYMOUS if anonymous else "",
            inventory=INVENTORY if inventory is not None else "",
        ),
        "journal.ndjson": lines(plain),
        "audit.csv": redactor.text(report_data.audit_csv(audited)),
        "plan.json": document(plan),
        "events.ndjson": lines(events),
        "report.md": redactor.text(markdown.report(history)),
        "report.json": document(report_data.story_json(history)),
        "configuration.json": document(
            {name: item for name, item in configuration.items() if not anonymous or name in PLAIN}
        ),
        "versions.json": json.dumps({**versions(), "connected": redactor.value(connected)}, indent=1) + "\n",
        **({"inventory.json": inventory} if inventory is not None else {}),
    }


def versions() -> dict[str, Any]:
    """Return the versions of this program and of what it runs on."""
    libraries: dict[str, str | None] = {}
    system = os.uname()
    for need in requires("lrvmotion") or []:
        name = re.split(r"[^\w.-]", need)[0]
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:
            libraries[name] = None
    return {
        "lrvmotion": version("lrvmotion"),
        "python": sys.version,
        "system": f"{system.sysname} {system.release} {system.machine}",
        "libraries": libraries,
    }


def archive(folder: str, contents: Mapping[str, str], at: float) -> bytes:
    """Return a tar.gz of *contents* under *folder*, each for its owner alone; *at* is their time, seconds."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, text in contents.items():
            data = text.encode("utf-8", "surrogatepass")
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size, info.mode, info.mtime = len(data), 0o600, at
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def _at(add: Any, target: TargetId) -> None:  # noqa: ANN401 - a local function
    """Add the host or relay host *target*."""
    add("box" if target.is_relay else "host", target.name)


def _account(add: Any, account: str) -> None:  # noqa: ANN401 - a local function
    """Add the parts of "ada as root@desk" and of "ops@vsphere.local at vc-a"."""
    for part in re.split(r"@| as | at |\\", account):
        add("user", part if part.lower() not in {"root", "administrator"} else "")


def _places(plan: Mapping[str, Any]) -> Iterable[list[tuple[str, str]]]:
    for move in plan.get("migrations", []):
        place = move.get("placement") or {}
        found = [(kind, (place.get(kind) or {}).get("name", "")) for kind in ("host", "pool", "folder", "datastore")]
        found += [("folder", move.get("source_folder", ""))]
        found += [("datastore", name) for name in (*move.get("source_datastores", []), move.get("source_home", ""))]
        for disk in place.get("disks", []):
            found += [
                ("datastore", disk.get("source", "")),
                ("datastore", (disk.get("datastore") or {}).get("name", "")),
            ]
        for card in place.get("nics", []):
            found += [("network", card.get("source", "")), ("network", (card.get("network") or {}).get("name", ""))]
        yield found


def _strings(given: Any) -> Iterable[str]:  # noqa: ANN401 - any TOML
    if isinstance(given, str):
        yield given
    elif isinstance(given, Mapping):
        for name, item in given.items():
            yield str(name)
            yield from _strings(item)
    elif isinstance(given, list | tuple):
        for item in given:
            yield from _strings(item)


def _of(given: Mapping[str, Any], *names: str) -> Any:  # noqa: ANN401 - any TOML
    found: Any = given
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
