"""A rolling reboot: its order, what forbids it, and what each step leaves behind, against hosts in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fakes import Died, FakeTarget, Fuse, MortalFile, change_of
from lrvmotion.checks import reboot as reboot_checks
from lrvmotion.errors import RefusedError, UnreachableError
from lrvmotion.events import Rebooting, Waiting
from lrvmotion.journal import effective_values
from lrvmotion.journal.journal import Journal
from lrvmotion.model.setting import MAINTENANCE, SettingKey, Value
from lrvmotion.model.target_id import TargetId
from lrvmotion.model.vcenter import RebootReadiness
from lrvmotion.plan.plan import Change, reboots
from lrvmotion.ports.rebooter import HostRuntime
from lrvmotion.run import rolling_reboot as reboot
from lrvmotion.run.rolling_reboot import IN, OUT, Rolling

QUEUES = SettingKey("option/Net.TcpipRxDispatchQueues")
START = datetime(2026, 1, 1, tzinfo=UTC)


def change(host: str, planned: int = 5) -> Change:
    return change_of(host, QUEUES, Value("long", 2), Value("long", planned), "why", reboot=True)


class Machine:
    """A host in memory: a target and a rebooter at once. *fail* names the step that raises."""

    def __init__(self, name: str, log: list[str], fail: str = "", **standing) -> None:
        self.target = FakeTarget(name, {MAINTENANCE: OUT, QUEUES: Value("long", 5)})
        self.name = name
        self.log = log
        self.fail = fail
        self.booted = START
        self.required = True
        self.connected = True
        self.about = RebootReadiness(host=name, cluster="Cluster", **{"others": ("other",), **standing})

    def readiness(self) -> RebootReadiness:
        self.target.fuse.point()
        return self.about

    def now(self) -> HostRuntime:
        self.target.fuse.point()
        inside = self.target.values[MAINTENANCE] == IN
        return HostRuntime(
            connected=self.connected, in_maintenance=inside, booted=self.booted, reboot_required=self.required
        )

    def enter(self, timeout_s, proceed) -> None:
        proceed()
        self.target.fuse.point()
        self.log.append(f"{self.name} enter")
        self.target.values[MAINTENANCE] = IN
        self.target.fuse.point()
        if self.fail == "enter":
            message = f"{self.name} did not get empty"
            raise RefusedError(message)

    def reboot(self) -> None:
        assert self.target.values[MAINTENANCE] == IN
        self.target.fuse.point()
        self.log.append(f"{self.name} reboot")
        if self.fail == "reboot":
            self.connected = False
            return
        self.booted += timedelta(hours=1)
        self.required = self.fail == "required"
        self.target.fuse.point()
        if self.fail == "value":
            self.target.values[QUEUES] = Value("long", 2)

    def bring_home(self, vms, timeout_s) -> list[str]:
        self.log.append(f"{self.name} home {len(vms)}")
        return []


class HostAccess:
    def __init__(self, *machines: Machine) -> None:
        self.machines = {machine.name: machine for machine in machines}

    def target(self, name):
        return self.machines[name].target

    def rebooter(self, name):
        return self.machines[name]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Waits are of no interest here."""
    monkeypatch.setattr(reboot, "POLL_MOST_S", 0.001)
    monkeypatch.setattr(reboot, "SETTLE_S", 0.01)
    monkeypatch.setattr(reboot, "BUSY_S", 0.01)


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path, lambda: "2026-01-01T00:00:00+00:00") as opened:
        yield opened


def roll(journal, access, hosts, **more):
    seen: list = []
    rolling = Rolling(
        access=access, journal=journal, run="abcdef", observer=seen.append, enter_s=1.0, boot_s=0.02, **more
    )
    rolling.go([change(host) for host in hosts])
    return [(event.host, event.phase) for event in seen if isinstance(event, Rebooting)]


def test_hosts_of_the_target_come_first_and_by_number():
    """Where VMs arrive nothing of the run is yet; esx-10 comes after esx-9."""
    hosts = ["source/esx-10", "source/esx-9", "target/b2", "target/b1"]
    assert reboots([change(host) for host in hosts]) == ("target/b1", "target/b2", "source/esx-9", "source/esx-10")
    assert reboots([change_of("source/a", "option/x", OUT, IN, "")]) == ()


def test_one_host_at_a_time_each_step_recorded_first(journal):
    """A host is back and out of maintenance mode before the next one enters it."""
    log: list[str] = []
    one, two = Machine("source/a1", log), Machine("source/a2", log)
    phases = roll(journal, HostAccess(one, two), ["source/a1", "source/a2"], homes={"source/a1": {"vm1": "ref"}})
    assert log == ["source/a1 enter", "source/a1 reboot", "source/a1 home 1", "source/a2 enter", "source/a2 reboot"]
    assert [phase for host, phase in phases if host == "source/a2"] == ["maintenance", "reboot", "back", "verified"]
    assert one.target.values[MAINTENANCE] == two.target.values[MAINTENANCE] == OUT
    assert journal.outstanding() == []
    kinds = [(r.kind, getattr(r.body, "phase", "")) for r in journal.records][:6]
    assert kinds == [
        ("reboot", "maintenance"), ("intended", ""), ("applied", ""), ("reboot", "reboot"), ("reboot", "back"),
        ("reverted", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("standing", "code"),
    [
        ({"running": ("vm1", "vm2"), "drs": "manual"}, "reboot-vms"),
        ({"running": ("vm1",), "drs": "partiallyAutomated"}, "reboot-vms"),
        ({"running": ("vm1",), "drs": ""}, "reboot-vms"),
        ({"running": ("vm1", "vm2"), "drs": "fullyAutomated", "fixed": ("vm2",)}, "reboot-vms"),
        ({"others": ()}, "reboot-last"),
    ],
)
def test_what_forbids_a_reboot_forbids_it_before_anything_is_done(journal, standing, code):
    """VMs that would not leave, and the last host of a cluster: an error of the plan, and again at the last moment."""
    machine = Machine("source/a1", [], **standing)
    (finding,) = reboot_checks.order([machine.about])
    assert (finding.severity, finding.code) == ("error", code)
    with pytest.raises(RefusedError, match="is not rebooted"):
        roll(journal, HostAccess(machine), ["source/a1"])
    assert (machine.log, journal.records) == ([], [])


def test_what_does_not_forbid_it_is_told():
    """The order, and what happens to the VMs."""
    full = RebootReadiness(host="a", cluster="C", running=("vm1",), drs="fullyAutomated", others=("b",))
    empty = RebootReadiness(host="b", cluster="C", others=("a",))
    told = list(reboot_checks.order([full, empty]))
    assert [finding.code for finding in told] == ["reboot-order", "reboot-order"]
    assert "1 of 2" in told[0].summary
    assert "DRS moves 1 running VM away" in told[0].summary
    assert "no VM runs on it" in told[1].summary


def test_a_host_that_is_busy_away_or_in_maintenance_is_left_alone(journal):
    """Somebody else's relocate, connection and maintenance mode are not ours."""
    busy, away, inside = (Machine(f"source/a{n}", []) for n in (1, 2, 3))
    busy.target.running.append("relocate of vm9 runs")
    away.connected = False
    inside.target.values[MAINTENANCE] = IN
    for machine, error in ((busy, UnreachableError), (away, UnreachableError), (inside, RefusedError)):
        with pytest.raises(error, match="is not rebooted"):
            roll(journal, HostAccess(machine), [machine.name])
    assert journal.records == []


def test_a_relocate_that_ends_in_time_is_waited_for(journal, monkeypatch):
    """DRS evens out the cluster once the host before is back: that is no reason to give up."""
    monkeypatch.setattr(reboot, "BUSY_S", 5.0)
    machine = Machine("source/a1", [])
    answers = iter([["relocate of vm9 runs"], ["relocate of vm9 runs"], []])
    monkeypatch.setattr(machine.target, "busy", lambda: next(answers, []))
    phases = roll(journal, HostAccess(machine), ["source/a1"])
    assert phases[-1] == ("source/a1", "verified")


def test_a_host_that_does_not_get_empty_leaves_maintenance_mode_again(journal):
    """And the next host is not touched."""
    log: list[str] = []
    one, two = Machine("source/a1", log, fail="enter"), Machine("source/a2", log)
    with pytest.raises(RefusedError, match="did not get empty"):
        roll(journal, HostAccess(one, two), ["source/a1", "source/a2"])
    assert log == ["source/a1 enter"]
    assert one.target.values[MAINTENANCE] == OUT
    assert journal.outstanding() == []


def test_a_host_that_does_not_come_back_stops_the_rolling_reboot(journal):
    """It says so; the maintenance mode stays outstanding, and is restored once the host is there."""
    log: list[str] = []
    one, two = Machine("source/a1", log, fail="reboot"), Machine("source/a2", log)
    access = HostAccess(one, two)
    with pytest.raises(UnreachableError, match="did not come back"):
        roll(journal, access, ["source/a1", "source/a2"])
    assert log == ["source/a1 enter", "source/a1 reboot"]
    assert [(item.target, item.key) for item in journal.outstanding()] == [("source/a1", MAINTENANCE)]
    said: list = []
    again = Rolling(access=access, journal=journal, run="later", observer=said.append, enter_s=1.0, boot_s=0.01)
    reboot.recover(again)
    assert [type(event).__name__ for event in said] == ["Waiting", "Message"]
    one.connected = True
    reboot.release(again)
    assert journal.outstanding() == []
    assert one.target.values[MAINTENANCE] == OUT


@pytest.mark.parametrize(("fail", "words"), [("value", "was set"), ("required", "still says")])
def test_a_reboot_that_did_not_do_it_is_an_error(journal, fail, words):
    """The option must read as planned, and vCenter must ask for no other reboot; the host is out of maintenance."""
    machine = Machine("source/a1", [], fail=fail)
    with pytest.raises(RefusedError, match=words):
        roll(journal, HostAccess(machine), ["source/a1"])
    assert machine.target.values[MAINTENANCE] == OUT


def test_interrupted_before_the_reboot_nothing_is_rebooted(journal):
    """Ctrl-C while a host gets empty: it leaves maintenance mode."""

    class StopError(Exception):
        pass

    calls = []

    def proceed():
        calls.append(1)
        if len(calls) == 3:
            raise StopError

    machine = Machine("source/a1", [])
    with pytest.raises(StopError):
        roll(journal, HostAccess(machine), ["source/a1"], proceed=proceed)
    assert machine.log == ["source/a1 enter"]
    assert machine.target.values[MAINTENANCE] == OUT
    assert journal.outstanding() == []


def test_while_a_host_gets_empty_it_is_said_who_is_still_there(journal, monkeypatch):
    """A VM that DRS cannot move is seen long before the time is over."""
    monkeypatch.setattr(reboot, "TOLD_S", 0.0)
    machine = Machine("source/a1", [], running=("vm1",), drs="fullyAutomated")
    said: list = []
    rolling = Rolling(
        access=HostAccess(machine), journal=journal, run="abcdef", observer=said.append, enter_s=1.0, boot_s=0.02
    )  # fmt: skip
    rolling.go([change("source/a1")])
    assert [event.reason for event in said if isinstance(event, Waiting)] == ["still running on it: vm1"]


def test_what_was_put_back_is_in_force_only_after_another_reboot(tmp_path):
    """Known from the journal's times and the boot time; a host that was not rebooted in between needs none."""
    times = iter(f"2026-01-01T0{hour}:00:00+00:00" for hour in (1, 2, 3, 4))
    with Journal(tmp_path, lambda: next(times)) as journal:
        journal.intended("abcdef", change("source/a1"))
        journal.applied("abcdef", TargetId("source/a1"), QUEUES)
        journal.reverted("later", TargetId("source/a1"), QUEUES, Value("long", 2))
        for minutes, expected in ((30, []), (150, ["source/a1"]), (200, [])):
            found = effective_values.stale(journal.records, lambda _, m=minutes: START + timedelta(minutes=m))
            assert [item.host for item in found] == expected
        assert effective_values.stale(journal.records, lambda _: None) == []
        journal.intended("second", change("source/a1"))
        assert effective_values.stale(journal.records, lambda _: START + timedelta(minutes=150)) == []


@pytest.mark.parametrize("asked", [False, True])
def test_after_a_restore_hosts_are_rebooted_again_only_where_that_is_asked_for(tmp_path, asked):
    """Without it the user is told which hosts still run the former value, and how they get rid of it."""
    times = (f"2026-01-01T0{hour}:00:00+00:00" for hour in range(9))
    machine = Machine("source/a1", [])
    machine.booted = START + timedelta(minutes=30)
    machine.target.values[QUEUES] = Value("long", 2)
    said: list = []
    with Journal(tmp_path, lambda: next(times)) as journal:
        journal.intended("abcdef", change("source/a1"))
        journal.reverted("later", TargetId("source/a1"), QUEUES, Value("long", 2))
        access = HostAccess(machine)
        rolling = Rolling(
            access=access, journal=journal, run="later", observer=said.append, enter_s=1.0, boot_s=0.02
        )  # fmt: skip
        left = reboot.again(rolling, asked=asked)
    assert [item.host for item in left] == ([] if asked else ["source/a1"])
    assert machine.log == (["source/a1 enter", "source/a1 reboot"] if asked else [])
    assert asked or "restore-defaults --reboot-hosts" in said[0].text


def test_hosts_that_an_earlier_run_left_waiting_are_rebooted_too(tmp_path):
    """A run that died between setting the option and the reboot: the next one with --reboot-hosts goes on."""
    times = (f"2026-01-01T0{hour}:00:00+00:00" for hour in range(9))
    one, two, three = (Machine(f"source/a{n}", []) for n in (1, 2, 3))
    one.booted, two.booted, three.booted = START - timedelta(1), START + timedelta(1), START - timedelta(1)
    with Journal(tmp_path, lambda: next(times)) as journal:
        for machine in (one, two, three):
            journal.intended("abcdef", change(machine.name))
        access = HostAccess(one, two, three)
        rolling = Rolling(access=access, journal=journal, run="x", observer=print, enter_s=1.0, boot_s=1.0)
        due = reboot.due(rolling, [], {"source/a1", "source/a2"})
        assert [(item.target, item.planned) for item in due] == [("source/a1", Value("long", 5))]
        assert reboot.due(rolling, [change("source/a1")], {"source/a1"}) == [change("source/a1")]


def _dies(folder, calls: Fuse, disk: Fuse) -> None:
    """Reboot two hosts until the process dies; whatever was done, the next command takes both out of maintenance."""
    one, two = Machine("source/a1", []), Machine("source/a2", [])
    access = HostAccess(one, two)
    for machine in (one, two):
        machine.target.fuse = calls

    def clock() -> str:
        return "2026-01-01T00:00:00+00:00"

    try:
        with Journal(folder, clock, opener=lambda path: MortalFile(path, disk)) as journal:
            roll(journal, access, ["source/a1", "source/a2"])
    except Died:
        pass
    inside = [machine.name for machine in (one, two) if machine.target.values[MAINTENANCE] == IN]
    calls.left = None
    with Journal(folder, clock) as journal:
        assert set(inside) <= {item.target for item in journal.outstanding()}
        reboot.release(
            Rolling(access=access, journal=journal, run="later", observer=lambda _: None, enter_s=1.0, boot_s=0.01)
        )  # fmt: skip
        assert journal.outstanding() == []
    assert one.target.values[MAINTENANCE] == two.target.values[MAINTENANCE] == OUT


def test_death_at_any_call_or_byte_of_the_journal_leaves_no_host_in_maintenance_mode(tmp_path):
    """Before and after every call to a host, and in the middle of any record."""
    calls, disk = Fuse(), Fuse()
    _dies(tmp_path / "whole", calls, disk)
    assert calls.burnt > 20
    assert disk.burnt > 3000
    for left in range(calls.burnt):
        _dies(tmp_path / f"call-{left}", Fuse(left), Fuse())
    for left in range(0, disk.burnt, 43):
        _dies(tmp_path / f"byte-{left}", Fuse(), Fuse(left))
