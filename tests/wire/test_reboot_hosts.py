"""migrate and restore-defaults with --reboot-hosts: the real command line against a lab without a network."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest

from lab_client import Lab

KEY = "Net.TcpipRxDispatchQueues"
HOSTS = {"source": ("esx-a1", "esx-a2"), "target": ("esx-b1", "esx-b2")}
MOVE = ("migrate", "--mode", "native", "--reboot-hosts", "--unproven", "--yes")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("reboot"), "--no-net", name=f"reboot{os.getpid()}") as made:
        for site, names in HOSTS.items():
            for name in names:
                made.control(site, "host_set", host=name, boot_s=0.5)
        yield made


@pytest.fixture
def automated(lab):
    for site in HOSTS:
        lab.control(site, "cluster_drs", level="fullyAutomated")
    yield
    for site in HOSTS:
        lab.control(site, "cluster_drs", level=None)


def hosts(lab) -> dict[str, dict]:
    """Return every host by its target's name, as the vCenter has it."""
    return {f"{site}/{name}": host for site in HOSTS for name, host in lab.control(site, "state")["hosts"].items()}


def queues(lab) -> dict[str, tuple[int, int]]:
    """Return (value, value in force) of every host that is not as at first."""
    now = {name: host["options"][KEY] for name, host in hosts(lab).items()}
    return {name: (o["value"], o["effective"]) for name, o in now.items() if (o["value"], o["effective"]) != (2, 2)}


def orders(lab) -> int:
    return sum(lab.control(site, "calls")["calls"].get("RebootHost_Task", 0) for site in HOSTS)


def test_running_vms_that_drs_does_not_move_refuse_it(lab):
    """Exit 3 with a hint, and nothing was changed; the plan says the same."""
    before = lab.state()
    made = lab.json("plan", "--mode", "native", "--reboot-hosts", "vm1", status=3)
    (finding,) = (item for item in made["findings"] if item["code"] == "reboot-vms")
    assert finding["subject"] == "source/esx-a1"
    assert "DRS of Cluster is off" in finding["summary"]
    done = lab.run(*MOVE, "vm1")
    assert (done.returncode, "hint:" in done.stderr, "Traceback" in done.stderr) == (3, True, False), done.stderr
    assert lab.state() == before
    assert orders(lab) == 0


def test_the_plan_lists_the_hosts_in_their_order(lab, automated):
    """The target's first; and what happens to the VMs on each."""
    text = lab.run("plan", "--mode", "native", "--reboot-hosts", "vm1", "vm2").stdout
    flat = " ".join(text.split())
    assert "target/esx-b1: is rebooted in maintenance mode, 1 of " in flat
    assert "no VM runs on it" in flat
    assert re.search(r"source/esx-a1: is rebooted .* DRS moves \d running VMs away first", flat)


def test_reboot_move_restore_and_reboot_again(lab, automated):
    """In a window; in force before the first move; the former value is after restore-defaults --reboot-hosts only."""
    before = lab.state()
    opens = datetime.now(UTC) + timedelta(seconds=8)
    window = f'\n[[window]]\nstart = "{opens.isoformat()}"\nend = "{(opens + timedelta(hours=2)).isoformat()}"\n'
    at_night = lab.folder / "at-night.toml"
    at_night.write_text(lab.config.read_text() + window)
    places = {name: vm["host"] for name, vm in lab.control("source", "state")["vms"].items()}
    done = lab.run("--config", str(at_night), *MOVE, "vm1", "vm2", config=False)
    assert done.returncode == 0, done.stderr
    assert {places["vm1"], places["vm2"]} == set(HOSTS["source"])
    phases = re.findall(
        r"^(\S+/\S+): (enters maintenance|is rebooted|is up again|rebooted,)", done.stderr, re.MULTILINE
    )
    touched = list(dict.fromkeys(host for host, _ in phases))
    assert touched == [host for host, _ in phases[::4]]  # all of one host, then all of the next
    assert set(queues(lab)) == set(touched)
    assert set(queues(lab).values()) == {(5, 5)}
    assert {"vm1", "vm2"} <= set(lab.vms()["target"])
    tasks = [task for site in HOSTS for task in lab.control(site, "tasks")["tasks"]]
    rebooted = [datetime.fromisoformat(t["started"]) for t in tasks if t["description"] == "HostSystem.reboot"]
    assert min(rebooted) > opens  # no host is rebooted outside of a maintenance window
    done = lab.run("restore-defaults")
    assert done.returncode == 0, done.stderr
    assert "in force after its next reboot" in " ".join(done.stderr.split())
    assert set(queues(lab).values()) == {(2, 5)}
    made = lab.json("check", status=0)
    assert {f["subject"] for f in made["findings"] if f["code"] == "host-reboot"} == set(touched)
    done = lab.run("restore-defaults", "--reboot-hosts")
    assert done.returncode == 0, done.stderr
    assert lab.state() == before
    ordered = orders(lab)
    assert lab.run("restore-defaults", "--reboot-hosts").returncode == 0
    assert orders(lab) == ordered


@pytest.mark.parametrize("then", ["restore", "resume"])
def test_killed_while_a_host_reboots(lab, automated, then):
    """The next command waits until the host is back, and takes it out of maintenance mode; a resumed run goes on."""
    before = lab.state()
    (vm, host), *_ = sorted((name, vm["host"]) for name, vm in lab.control("source", "state")["vms"].items())
    lab.control("source", "host_set", host=host, boot_s=None)
    run = lab.spawn(*MOVE, vm)
    try:
        _until(lambda: hosts(lab)[f"source/{host}"]["connection"] == "notResponding")
    finally:
        run.send_signal(signal.SIGKILL)
        run.communicate()
    assert hosts(lab)[f"source/{host}"]["maintenance"]
    lab.control("source", "host_set", host=host, boot_s=0.5)
    if then == "resume":
        _waits(lab, host, "migrate", "--resume", "--unproven", "--yes")
        assert vm in lab.vms()["target"]
        assert set(queues(lab).values()) == {(5, 5)}
        done = lab.run("restore-defaults", "--reboot-hosts")
        assert done.returncode == 0, done.stderr
    else:
        _waits(lab, host, "restore-defaults", "--reboot-hosts")
    assert lab.state() == before


def _waits(lab, host: str, *arguments: str) -> None:
    """Run a command that waits for *host*, which is started then."""
    with lab.spawn(*arguments) as child:
        try:
            for line in child.stderr:
                if f"waiting for source/{host}: it is being rebooted" in line:
                    lab.control("source", "host_start", host=host)
                    break
            _, rest = child.communicate(timeout=200)
        finally:
            child.kill()
    assert child.returncode == 0, rest


def test_a_host_that_does_not_come_back(lab, automated):
    """No other host is touched, the rest is restored, exit 7; once the host is up, restore-defaults does the rest."""
    before, ordered = lab.state(), orders(lab)
    vm = min(lab.vms()["source"])
    plan = lab.run("plan", "--mode", "native", "--reboot-hosts", "--output", "json", vm)
    (move,) = json.loads(plan.stdout)["migrations"]
    host = move["target_host"]
    lab.control("target", "host_set", host=host, boot_s=None)
    impatient = lab.folder / "impatient.toml"
    impatient.write_text(lab.config.read_text() + "\n[limits]\nreboot_wait_s = 3\n")
    done = lab.run("--config", str(impatient), *MOVE, vm, config=False)
    assert done.returncode == 7, done.stderr
    assert "did not come back" in done.stderr
    assert orders(lab) == ordered + 1
    assert {name for name, host in hosts(lab).items() if host["maintenance"]} == {f"target/{host}"}
    assert lab.run("--config", str(impatient), "restore-defaults", config=False).returncode == 7
    lab.control("target", "host_set", host=host, boot_s=0.5)
    lab.control("target", "host_start", host=host)
    done = lab.run("restore-defaults", "--reboot-hosts")
    assert done.returncode == 0, done.stderr
    assert lab.state() == before


def _until(true, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
