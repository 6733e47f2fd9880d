"""What a user or an accident hands to the program: each is read, or refused in a sentence."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fakes import change_of, host, inventory, vm
from fuzzing import bytes_of, dumped, json_of, subject, text_of
from lrvmotion.config import csv_table, rate_schedule, rvtools, schema, vm_csv
from lrvmotion.journal import (
    audit_log,
    chain,
    changes,
    effective_values,
    event_log,
    journal,
    load_report_store,
    move_history,
    run_state,
)
from lrvmotion.journal.records import Other
from lrvmotion.model.inventory import DEFAULT_STACK
from lrvmotion.model.setting import ABSENT, Value, document
from lrvmotion.model.vm import vm_address
from lrvmotion.plan import plan_file, vm_filter
from lrvmotion.plan.plan import Migration, Plan
from lrvmotion.plan.plan import Path as DataPath
from lrvmotion.plan.vm_selection import matching, patterns, resolve
from lrvmotion.run.credentials import Credentials, read_file
from lrvmotion.ssh import known_hosts
from lrvmotion.vsphere.certificate import Certificate

FOLDER = Path(tempfile.mkdtemp(prefix="lrvmotion-fuzz-"))
ROOT = Path(__file__).parents[2]
FULL = (ROOT / "examples" / "full.toml").read_text()
MINIMAL = (ROOT / "examples" / "minimal.toml").read_text()
CSV = (
    "vm,target_host,pool,folder,datastore,network,networks,wave,depends_on,note\n"
    'vm1,esx-b1,C/Resources,Prod/Web,ds1,DMZ,"Network adapter 2=LAN; Network adapter 3=X",2,vm2;vm3,"two\nlines"\n'
    "vm2,,,,,,,1,,\n"
)
EXPORT = (
    "VM,Powerstate,Template,Folder,Annotation,Datacenter,SMBIOS UUID,VM UUID,VI SDK Server,VI SDK UUID\n"
    'vm1,poweredOn,False,DC/vm/Prod,"two\nlines",DC,422e6d92-22c1-c6c1-1de8-eceec50f94bc,'
    "5029a0f4-55e2-4c4b-8a0b-3f1d6e0c7a11,vc-a.example,258FD56F-AB48-4992-9D1D-8CED6C827CF0\n"
    "gold,poweredOff,True,,,DC,,,vc-b,\n"
)
SELECT = "name=web-* and cluster=A and not (folder='Templates/*' or power=off) or network!=\"VM [Nn]etwork\""
KNOWN = (
    "# a comment\n"
    "box.example,10.0.0.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO3AVCXSREFmDrcvkSTTgJpxnMEDIEyMbZRxC63fZ9Xu a\n"
    "@cert-authority *.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO3AVCXSREFmDrcvkSTTgJpxnMEDIEyMbZRxC63fZ9Xu\n"
    "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAABAAAAAE=\n"
    "!a.example,[b.example]:2222,*.c?d ssh-ed25519 AAAA\n"
)


class _Known:
    """Looks up the VMs of an inventory."""

    def __init__(self, site) -> None:
        self.known = {machine.ref: vm_address.identity(machine) for machine in site.vms}

    def identities(self, refs):
        return [self.known[ref] for ref in refs]

    def by_instance_uuid(self, uuids):
        return {one.instance_uuid: ref for ref, one in self.known.items() if one.instance_uuid in uuids}


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left():
    """A worker process of the tests ends without its exit handlers."""
    yield
    shutil.rmtree(FOLDER)


def file_of(content: bytes, name: str = "input") -> Path:
    path = FOLDER / name
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def used(read: schema.Config) -> None:
    """Ask a configuration what a run asks of it."""
    now = datetime(2026, 11, 24, 8, tzinfo=UTC)
    read.windows.changes(now)
    assert str(read.at(now).relay.cap_at(now))
    read.windows.require(now)


@subject(bytes_of(FULL, MINIMAL))
def test_configuration(content):
    """TOML of a user."""
    used(schema.load(file_of(content)))


@subject(json_of(schema.tomllib.loads(FULL), schema.tomllib.loads(MINIMAL)))
def test_configuration_values(content):
    """Keys and values of any type, as TOML may have them."""
    if isinstance(content, dict):
        used(schema.parse(content))


@subject(text_of("08:00 500M, 19:00 off", "2G", "off"))
def test_rates(text):
    """A rate, or a timetable of rates, as --limit and the configuration have them."""
    for read in (rate_schedule.rate, rate_schedule.parse):
        with suppress(ValueError):
            read(text)


@subject(bytes_of(CSV, CSV.replace(",", ";"), "vm\nvm1\n"))
def test_csv(content):
    """A list of VMs."""
    found = vm_csv.parse(content, "vms.csv")
    assert found
    site = inventory("source", (host("a1", "10.0.0.1"),), (vm("vm1", "a1"),))
    vm_csv.check(found, site, "vms.csv")


@subject(bytes_of(EXPORT, EXPORT.replace(",", ";"), EXPORT.encode("utf-16")))
def test_exports(content):
    """An export of RVTools."""
    table = csv_table.table(content, "vms.csv", vm_csv.HINT)
    if rvtools.is_export(table):
        found = rvtools.exported(table, "vms.csv")
        assert found
        own, others = rvtools.of_vcenter(found, "vc-a", "258FD56F-AB48-4992-9D1D-8CED6C827CF0", "vms.csv")
        assert len(own) + sum(others.values()) == len(found)
    else:
        vm_csv.overrides(table, "vms.csv")


def saved() -> str:
    machine, source = vm("vm1", "a1"), host("a1", "10.88.0.9")
    target = inventory("target", (host("b1", "10.99.0.9"),))
    place = placed(target)
    move = Migration(
        vm="vm1", ref=machine.ref, source_host="a1", placement=place, hot_bytes=1, cold_bytes=0, wave=1,
        instance_uuid="u", power_state="poweredOn", snapshots=0,
    )  # fmt: skip
    change = change_of("source/a1", "option/x", ABSENT, Value("long", 48), "streams")
    way = DataPath(
        source_host="a1", target_host="b1", netstack=DEFAULT_STACK, source_address=source.vmknics[1].address,
        target_address="10.99.0.9",
    )  # fmt: skip
    plan = Plan(
        run="abcdef", owner_id="abcdef", mode="native", changes=(change,), migrations=(move,), proof_paths=(way,)
    )
    return plan_file.text(plan, {"a": "b"}, reboot_hosts=False, written="2026-01-01T00:00:00Z", version="0.1.0")


def placed(target):
    from lrvmotion.model.placement import NicMapping, Placement

    network = target.networks[0]
    return Placement(
        host=target.hosts[0], pool=target.pools[0], folder=target.folders[0], datastore=target.datastores[0],
        nics=(NicMapping(key=4000, label="Network adapter 1", source="VM Network", network=network),),
    )  # fmt: skip


TARGET = inventory("target", (host("b1", "10.99.0.9"),))
SAVED = saved()


def resumed(text: str) -> None:
    back = plan_file.parse(text, "plan.json")
    back.subjects()
    back.overrides()
    assert len(back.vms) == len(back.refs)
    back.complete(TARGET)


@subject(bytes_of(SAVED))
def test_plan_file(content):
    """A saved plan, harmed on its way."""
    back = plan_file.load(file_of(content))
    back.complete(TARGET)


@subject(json_of(json.loads(SAVED)))
def test_plan_file_written_anew(content):
    """A saved plan that somebody edited, and gave a SHA-256 that fits."""
    if isinstance(content, dict):
        content.pop("sha256", None)
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        content["sha256"] = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    resumed(dumped(content))


def bodies() -> list[tuple[str, dict]]:
    value = document(content="x", mode="0644").to_json()
    accounts = {"source": "u at vc-a"}
    setting = {"target": "source/a1", "key": "option/x"}
    return [
        ("run", {"schema": 1, "mode": "native", "mark": "m", "vms": ["vm1"], "back": False, "accounts": accounts}),
        ("run", {"schema": 2, "mode": "native", "owner_id": "m", "vms": ["vm2"], "back": True, "who": "u"}),
        ("plan", {"plan": json.loads(SAVED)}),
        ("connection", {"name": "source", "host": "vc-a", "port": 443, "username": "u", "pem": None}),
        ("intended", {**setting, "prior": ABSENT.to_json(), "planned": value, "reason": "r", "reboot": True}),
        ("applied", setting),
        ("move", {"vm": "vm1", "source_host": "a", "target_host": "b", "try": 1, "baggage": {"things": []}}),
        ("move", {"vm": "vm1", "source_host": "a", "target_host": "b", "attempt": 2, "metadata": {"macs": {"1": "x"}}}),
        ("task", {"vm": "vm1", "task": "task-1"}),
        ("moved", {"vm": "vm1", "state": "success", "reason": ""}),
        ("reverted", {**setting, "value": ABSENT.to_json()}),
        ("restore", {"schema": 1, "who": "u", "accounts": accounts}),
        ("cap", {"target": "relay/r", "planned": None}),
        ("throttle", {"schema": 2, "target": "relay/r", "prior": 1, "planned": None, "who": "u"}),
        ("reboot", {"host": "source/a1", "phase": "home", "vms": ["vm1"]}),
        ("cancel", {"target": "source/a1", "running": ["vm1 is moved"]}),
        ("carry", {"target": "target/vm1", "vm": "vm1", "key": "note/note", "planned": "x"}),
    ]  # fmt: skip


def lines(entries: list) -> list[bytes]:
    """Return *entries*, (kind, body), as the lines of a journal whose chain holds."""
    found, before = [], None
    for kind, body in entries:
        said = Other(name=kind, content=body)
        before = chain.chained(before, at="2026-01-01T00:00:00.000+00:00", run="abcdef", body=said)
        found.append(chain.line(before))
    return found


JOURNAL = b"".join(lines(bodies()))


def told(content: bytes) -> None:
    """Read a journal with all that the commands make of one."""
    path = file_of(content, "journal.jsonl")
    read = journal.read(path).records
    changes.outstanding(read)
    changes.runs(read)
    changes.owner_id(read)
    changes.connections(read)
    effective_values.put_back(read)
    for run in run_state.all_runs(read):
        audit_log.entries(read, run=run)
        run_state.chosen(read, run)
    audit_log.entries(read, read)


@subject(bytes_of(JOURNAL))
def test_journal(content):
    """A journal, harmed."""
    told(content)


@subject(json_of(bodies()))
def test_journal_written_anew(content):
    """A journal that somebody wrote again: the chain holds, and its bodies are of any shape."""
    entries = content if isinstance(content, list) else [content]
    with suppress(TypeError, ValueError):  # what no journal can be made of
        made = lines([(str(kind), dict(body)) for kind, body in entries])
        told(b"".join(made))


@subject(text_of(SELECT, "name=a", "not power = on"))
def test_select(text):
    """--select."""
    test = vm_filter.parse(text)
    site = inventory("source", (host("a1", "10.0.0.1"),), (vm("vm1", "a1"),))
    test(vm_filter.Traits(name="web-1", cluster="A", datastores=("d",), networks=("VM Network",)))
    said = text[:40]
    for pattern in patterns(site, [said]):
        matching([pattern])(vm_filter.Traits(name="web-1", folder="Prod", datacenter="DC"))
    resolve(site, [said], _Known(site))


@subject(bytes_of("correct-horse\n", "correct\u00e4\r\nmore\n"))
def test_password_file(content):
    """Its first line, or a sentence that does not repeat it."""
    secret = read_file(file_of(content)).reveal()
    assert secret
    assert "\n" not in secret
    secret.encode()


@subject(text_of("correct-horse"))
def test_password_variable(text):
    """What the environment has."""
    found = Credentials({"LRVMOTION_SOURCE_PASSWORD": text}, lambda _: "typed").password("source", "u", "h", None)
    found.reveal().encode()


@subject(bytes_of(KNOWN))
def test_known_hosts(content):
    """As OpenSSH takes it: nothing in it is an error."""
    read = known_hosts.parse(content)
    for name, port in (("box.example", 22), ("b.example", 2222), ("BOX", 22)):
        read.of(name, port)
    assert all(str(broken) for broken in read.broken)


@subject(text_of("-----BEGIN CERTIFICATE-----\nTUlJQg==\n-----END CERTIFICATE-----\n"))
def test_certificate(text):
    """A file in PEM form."""
    Certificate.from_pem(text)


EVENTS = (
    '{"type": "version", "at": "2026-01-01T00:00:00+00:00", "schema": "1.1"}\n'
    '{"type": "run_started", "at": "2026-01-01T00:00:00+00:00", "t": 0.0, "run": "r", "mode": "native", '
    '"journal": "j", "vms": ["a"], "forecast_s": 1.5}\n'
    '{"type": "move", "at": "2026-01-01T00:00:01+00:00", "t": 1.0, "vm": "a", "state": "running", '
    '"source_host": "a1", "target_host": "b1", "percent": 3, "tries": 1}\n'
)


@subject(bytes_of(EVENTS))
def test_kept_events(content):
    """The events of a run, harmed: what is not whole is left out."""
    folder = FOLDER / "runs" / "r"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / event_log.NAME).write_bytes(content)
    event_log.read(FOLDER, "r")


@subject(json_of(*(json.loads(line) for line in EVENTS.splitlines())))
def test_kept_events_of_another_shape(content):
    """One event, of any shape."""
    folder = FOLDER / "runs" / "r"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / event_log.NAME).write_text(dumped(content) + "\n")
    event_log.read(FOLDER, "r")


LOAD = {
    "schema": 1, "near": "a", "far": "b", "measured_at": "2026-01-01T00:00:00+00:00", "mss": 1448, "missing": [],
    "runs": [
        {"algorithm": "bbr", "streams": 5, "seconds": 6.0, "mbps": 900.0, "retransmit_ratio": 0.01, "rtt_ms": 55.0,
         "min_rtt_ms": 54.0, "stream_mbps": [180.0, 180.0, 180.0, 180.0, 180.0], "window_limited": 0.1},
    ],
}  # fmt: skip
MOVES = {"at": "2026-01-01T00:00:00+00:00", "circuit": "a -> b", "mode": "native", "mbps": 400.0}


@subject(json_of(LOAD), json_of(MOVES))
def test_measurements(load, move):
    """What earlier runs measured, in the state directory."""
    (FOLDER / load_report_store.NAME).write_text(dumped(load))
    (FOLDER / move_history.NAME).write_text(dumped(move) + "\n")
    move_history.recorded(FOLDER, "a -> b")
    report = load_report_store.latest(FOLDER)
    assert report is not None
    assert report.limiter
    load_report_store.age_s(report, "2026-01-02T00:00:00+00:00")
