"""A rolling reboot against simulated vCenters: one host at a time, VMs led away and back, what goes wrong."""

from __future__ import annotations

import threading
import time
from datetime import datetime

import pytest

from lrvmotion.errors import RefusedError, UnreachableError
from lrvmotion.journal.journal import Journal
from lrvmotion.model.setting import MAINTENANCE, SettingKey, Value
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.plan import Change, reboots
from lrvmotion.run.rolling_reboot import OUT, Rolling
from wire.no_net_lab import no_net_lab

KEY = SettingKey("option/Net.TcpipRxDispatchQueues")


class World:
    """The lab's hosts by the product's names."""

    def __init__(self, lab) -> None:
        self.lab = lab
        self.known: dict[str, object] = {}

    def target(self, name):
        if name not in self.known:
            self.known[name] = self.lab.host(name.connection, name.name)
        return self.known[name]

    def rebooter(self, name):
        return self.target(name).power


@pytest.fixture(scope="module")
def lab():
    with no_net_lab() as made:
        for site in ("source", "target"):
            for host in made.inventory(site).hosts:
                made.control(site, "host_set", host=host.name, boot_s=0.5)
        yield made


@pytest.fixture
def world(lab):
    yield World(lab)
    lab.control("source", "cluster_drs", level=None)
    lab.control("source", "cluster_set")


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path, lambda: "2026-01-01T00:00:00+00:00") as opened:
        yield opened


def changes(world, *hosts: str) -> list[Change]:
    """Set the option on *hosts* to another value, as a run does before the reboots."""
    made = []
    for host in map(TargetId, hosts):
        prior = world.target(host).read(KEY)
        planned = Value("long", 5 if prior.data != 5 else 4)
        world.target(host).write(KEY, planned)
        made.append(Change(target=host, key=KEY, prior=prior, planned=planned, reason="test", reboot=True))
    return made


def roll(world, journal, made: list[Change], *, boot_s: float = 20.0, enter_s: float = 30.0, **more) -> None:
    Rolling(
        access=world, journal=journal, run="abcdef", observer=lambda _: None, enter_s=enter_s, boot_s=boot_s, **more
    ).go(made)


def effective(lab, site: str, host: str) -> dict:
    return lab.control(site, "state")["hosts"][host]["options"][KEY.name]


def maintenance(lab) -> list[str]:
    hosts = {s: lab.control(s, "state")["hosts"] for s in ("source", "target")}
    return [f"{s}/{name}" for s, there in hosts.items() for name, host in there.items() if host["maintenance"]]


def away(lab, site: str, after: int) -> list[tuple[datetime, datetime, str]]:
    """Return from when to when each host was not there, from the vCenter's own task log after its first *after*."""
    tasks = lab.control(site, "tasks")["tasks"][after:]
    begun, spans = {}, []
    for task in tasks:
        if task["description"] == "HostSystem.enterMaintenanceMode":
            begun[task["entity"]] = datetime.fromisoformat(task["started"])
        if task["description"] == "HostSystem.exitMaintenanceMode":
            spans.append((begun.pop(task["entity"]), datetime.fromisoformat(task["completed"]), task["entity"]))
    assert not begun
    return sorted(spans)


def test_hosts_are_rebooted_one_at_a_time_and_their_vms_come_home(lab, world, journal):
    """As the vCenter's task log says: never two at once; the option is in force, the VMs are where they were."""
    lab.control("source", "cluster_drs", level="fullyAutomated")
    before = lab.control("source", "state")["vms"]
    after = len(lab.control("source", "tasks")["tasks"])
    made = changes(world, "source/esx-a1", "source/esx-a2")
    refs = dict(lab.inventory("source").vm_names)
    homes = {
        f"source/{host}": {name: refs[name] for name, vm in before.items() if vm["host"] == host}
        for host in ("esx-a1", "esx-a2")
    }
    assert all(homes.values())
    assert reboots(made) == ("source/esx-a1", "source/esx-a2")
    roll(world, journal, made, homes=homes)
    spans = away(lab, "source", after)
    assert [host for _, _, host in spans] == ["esx-a1", "esx-a2"]
    assert spans[0][1] <= spans[1][0]
    for change in made:
        value = change.planned.data
        assert effective(lab, "source", change.target.name) == {"value": value, "effective": value}
    assert {name: vm["host"] for name, vm in lab.control("source", "state")["vms"].items()} == {
        name: vm["host"] for name, vm in before.items()
    }
    assert journal.outstanding() == []
    assert maintenance(lab) == []


@pytest.mark.parametrize("level", [None, "manual", "partiallyAutomated"])
def test_running_vms_that_nobody_moves_forbid_the_reboot(lab, world, journal, level):
    """Refused before anything is done, naming the VMs and the DRS level."""
    lab.control("source", "cluster_drs", level=level)
    before = lab.control("source", "calls")["calls"].get("EnterMaintenanceMode_Task", 0)
    with pytest.raises(RefusedError, match=r"vm1.*DRS of Cluster is"):
        roll(world, journal, changes(world, "source/esx-a1"))
    assert lab.control("source", "calls")["calls"].get("EnterMaintenanceMode_Task", 0) == before
    assert journal.records == []


def test_a_vm_with_a_level_of_its_own_forbids_the_reboot(lab, world, journal):
    """DRS would leave it where it is, and the host would never be empty."""
    lab.control("source", "cluster_drs", level="fullyAutomated")
    lab.control("source", "cluster_set", overrides={"vm1": {"drs": "manual"}})
    with pytest.raises(RefusedError, match="vm1 would stay"):
        roll(world, journal, changes(world, "source/esx-a1"))
    assert journal.records == []


def test_the_last_host_of_a_cluster_is_not_rebooted(lab, world, journal):
    """Hosts that are away or in maintenance mode cannot take its VMs."""
    for name in ("esx-b1", "esx-b2", "esx-b3"):
        lab.control("target", "host_maintenance", host=name, on=True)
    try:
        with pytest.raises(RefusedError, match="no other host of Cluster"):
            roll(world, journal, changes(world, "target/esx-b4"))
    finally:
        for name in ("esx-b1", "esx-b2", "esx-b3"):
            lab.control("target", "host_maintenance", host=name, on=False)


def test_a_host_that_is_being_emptied_can_be_taken_out_of_it(lab, world):
    """What a run leaves that was killed while DRS emptied a host: the task is cancelled, not overlooked."""
    target = world.target(TargetId("source/esx-a2"))  # DRS is off: it waits for its VM for ever
    waiting = threading.Thread(target=_enter, args=(target.power,), daemon=True)
    waiting.start()
    end = time.monotonic() + 10
    while target.read(MAINTENANCE) == OUT:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert maintenance(lab) == []
    target.write(MAINTENANCE, OUT)
    assert target.read(MAINTENANCE) == OUT
    waiting.join(10)
    assert maintenance(lab) == []


def _enter(power) -> None:
    with pytest.raises(RefusedError):
        power.enter(60.0, lambda: None)


def test_a_host_that_does_not_get_empty_in_time_is_left_as_it_was(lab, world, journal):
    """EnterMaintenanceMode_Task's own Timedout, told as a sentence."""
    lab.control("source", "cluster_drs", level="fullyAutomated")
    made = changes(world, "source/esx-a1")
    lab.fault("source", method="RelocateVM_Task", in_task=True, fault="vim.fault.InvalidState", message="no")
    with pytest.raises(RefusedError, match="did not get empty"):
        roll(world, journal, made, enter_s=1.0)
    lab.control("source", "fault_clear")
    assert maintenance(lab) == []
    assert journal.outstanding() == []


def test_a_host_that_does_not_come_back_stops_it(lab, world, journal):
    """The next host is not touched; once the host is there, its maintenance mode is restored."""
    lab.control("target", "host_set", host="esx-b1", boot_s=None)
    made = changes(world, "target/esx-b1", "target/esx-b2")
    try:
        with pytest.raises(UnreachableError, match="esx-b1 did not come back"):
            roll(world, journal, made, boot_s=3.0)
        assert maintenance(lab) == ["target/esx-b1"]
        assert [item.key for item in journal.outstanding()] == [MAINTENANCE]
        assert effective(lab, "target", "esx-b2")["effective"] != made[1].planned.data
    finally:
        lab.control("target", "host_set", host="esx-b1", boot_s=0.5)
