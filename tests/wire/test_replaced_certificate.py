"""A vCenter's certificate is replaced while VMs move: nothing is sent, nothing is waited for, nothing is lost."""

from __future__ import annotations

import json
import os
from contextlib import closing

import pytest

from lab_client import Lab
from lrvmotion.lab import witness
from wire.forwarder import Forwarder
from wire.tls_server import Listener, make_certificate


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "6", name=f"y{os.getpid()}") as up:
        yield up


@pytest.fixture(autouse=True)
def as_it_was(lab):
    """Let no test's configuration reach the next one."""
    text = lab.config.read_text()
    yield
    lab.config.write_text(text)


def led(lab, site: str, forwarder: Forwarder) -> None:
    """Let the configuration reach *site* through *forwarder*, and move one VM after the other."""
    text, port = lab.config.read_text(), f"port = {port_of(lab, site)}\n"
    assert text.count(port) == 1
    lab.config.write_text(text.replace(port, f"port = {forwarder.port}\n") + "\n[limits]\nmax_concurrent = 1\n")


def port_of(lab, site: str) -> int:
    return json.loads((lab.directory / site / "vcenter.json").read_text())["port"]


@pytest.mark.parametrize("site", ["source", "target"])
def test_a_certificate_that_is_replaced_mid_run_ends_it_at_once(lab, tmp_path, site):
    """Exit 4 with the new fingerprint and what to do; not a byte to who shows it; --resume goes on when it is right."""
    names = sorted(lab.vms()["source"])[:2]
    rule = {"method": "RelocateVM_Task", "in_task": True, "delay_s": 3.0, "object": names[0]}
    lab.control("source", "fault_add", rule=rule)
    other = make_certificate(tmp_path, "vcsa-x")
    with closing(Listener(other)) as listener, Forwarder(port_of(lab, site)) as forwarder:
        led(lab, site, forwarder)
        process = lab.spawn("migrate", "--mode", "stock", *names, "--yes", "--output", "ndjson")
        for line in process.stdout:
            if json.loads(line).get("state") == "running":
                forwarder.lead_to(listener.port)
                break
        rest, told = process.communicate(timeout=200)  # far less than the five minutes a silent vCenter is waited for
        assert (process.returncode, listener.tried > 0) == (4, True), (rest, told)
        assert bytes(listener.received) == b""
        assert f"{site} vCenter" in told or f"{site}: " in told
        assert "is not trusted: pinned is the certificate with SHA-256" in told
        assert "sha256 = " in told
        assert "migrate --resume" in told
        events = [json.loads(line) for line in rest.splitlines()]
        assert [event for event in events if event["type"] == "run_ended"]
        last = {event["vm"]: event["state"] for event in events if event["type"] == "move"}
        assert last.get(names[1], "queued") == "queued"
        forwarder.lead_to(port_of(lab, site))
        moves = lab.json("migrate", "--resume", "--yes")["moves"]
        assert {vm: move["state"] for vm, move in moves.items()} == dict.fromkeys(names, "success")
    where = lab.vms()
    assert [[vm in where[side] for side in ("source", "target")] for vm in names] == [[False, True]] * 2


def test_what_a_run_changed_is_restored_after_its_vcenter_got_another_certificate(lab):
    """The journal has the old pin: nothing is restored until the configuration pins the new one, then everything is."""
    before = lab.state()
    (name,) = sorted(lab.vms()["source"])[:1]
    assert lab.json("migrate", "--mode", "native", "--unproven", "--yes", name)["moves"][name]["state"] == "success"
    changed = lab.state()
    assert witness.differences(before, changed) != []
    assert lab.run("lab", "kill", "source", "--name", lab.name, config=False).returncode == 0
    old = json.loads((lab.directory / "source" / "vcenter.json").read_text())["sha256"]
    for file in ("vcenter.pem", "vcenter.key"):
        (lab.directory / "source" / file).unlink()
    assert lab.run("lab", "start", "source", "--name", lab.name, config=False).returncode == 0
    new = json.loads((lab.directory / "source" / "vcenter.json").read_text())["sha256"]
    refused = lab.run("restore-defaults")
    assert refused.returncode in {4, 7}
    assert "is not trusted: pinned is the certificate" in refused.stderr
    assert [item for item in witness.differences(before, lab.state()) if "source" in item] != []
    text = lab.config.read_text()
    assert text.count(old) == 1
    lab.config.write_text(text.replace(old, new))
    assert lab.json("restore-defaults")["left"] == []
    assert witness.differences(before, lab.state()) == []
