"""A relay whose data interface or far side is down while SSH answers: named, waited for, led around, and back."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
import time

import pytest

from lrvmotion.lab import witness
from lrvmotion.lab.netns import box_namespace, router_namespace
from lrvmotion.relay.link import link, silent
from lrvmotion.relay.status import health
from lrvmotion.run.relays.flow import Flow, Load
from netns.box_world import requires_box
from netns.relaybox_site import NEAR_ADDRESS, RUN, SOURCE, TARGET, answers, eventually, make_site
from netns.test_relaybox_several import TwoRelays

pytestmark = requires_box
VMS = ("vm1", "vm2", "vm3", "vm4")  # by turns on esx-a1 (through relay-a) and esx-a2 (through relay-c)


@pytest.fixture
def site(tmp_path):
    with make_site(tmp_path, systemd=False) as made:
        made.install()
        eventually(lambda: answers(made.near))
        yield made


def judged(site, flow):
    status = health(site.shell, RUN)
    load = Load(streams=status.streams, carried=status.bytes, waiting=status.waiting, ends=status.ends)
    flow.take(time.monotonic(), load, link(site.shell, NEAR_ADDRESS))
    return flow.reason or ""


@contextlib.contextmanager
def busy(site):
    """Send without end from source to target; what comes of the connection is of no interest."""
    done = threading.Event()
    with site.world.listen() as listener, site.world.connect() as client:
        server, _ = listener.accept()

        def send():
            with contextlib.suppress(OSError):
                while not done.is_set():
                    client.send(bytes(65536))

        def take():
            with contextlib.suppress(OSError):
                while not done.is_set() and server.recv(1 << 20):
                    pass

        threads = [threading.Thread(target=work, daemon=True) for work in (send, take)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            with contextlib.suppress(OSError):  # wakes the one that reads where nothing comes any longer
                server.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(20)
            server.close()


@pytest.mark.parametrize(
    ("role", "device", "words"),
    [
        ("target", "wan0", f"{TARGET} does not answer a ping from it"),
        ("box", "lan0", "its interface lan0 is down (operstate down, no carrier)"),
    ],
)
def test_a_dead_far_side_and_a_dead_interface_are_named(site, role, device, words):
    """Streams stand still: the relay does not say that the circuit limits them; it is well when the link is back."""
    flow = Flow(lambda peers: silent(site.shell, peers))
    assert silent(site.shell, [SOURCE, TARGET]) == []
    with busy(site):
        eventually(lambda: health(site.shell, RUN).bps > 0)
        assert judged(site, flow) == ""
        site.world.inside(role, "ip", "link", "set", device, "down")
        eventually(lambda: judged(site, flow).endswith(words), 90)
        assert judged(site, flow).startswith("carries nothing while 1 stream is open: ")
        eventually(lambda: health(site.shell, RUN).bps == 0)
        assert "limited by the circuit" not in health(site.shell, RUN).limiter
        site.world.inside(role, "ip", "link", "set", device, "up")


def port(lab, box):
    """Return the command that reaches the switch port of a box: the other end of its data interface."""
    inside = ["ip", "-n", box_namespace(lab.spec, "source", box), "-j", "link", "show", "lan0"]
    (shown,) = json.loads(subprocess.run(inside, capture_output=True, text=True, check=True).stdout)
    router = router_namespace(lab.spec, "source")
    listed = subprocess.run(["ip", "-n", router, "-j", "link", "show"], capture_output=True, text=True, check=True)
    (name,) = (entry["ifname"] for entry in json.loads(listed.stdout) if entry["ifindex"] == shown["link_index"])
    return ["ip", "-n", router, "link", "set", name]


def test_a_relay_whose_interface_is_down_is_waited_for_led_around_and_used_again(tmp_path):
    """Its VM is tried again, its next one not started into it; the other relay's move on; nobody is lost."""
    with TwoRelays(tmp_path, name=f"stall{time.monotonic_ns() % 100_000}") as lab:
        before = lab.state()
        child = lab.spawn("migrate", "--mode", "proxy", "--yes", "--output", "ndjson", *VMS)
        events, told, is_down = [], "", False
        with child.stdout, child.stderr:
            for line in child.stdout:
                event = json.loads(line)
                events.append(event)
                if event["type"] == "move" and event["vm"] == "vm2" and event["percent"] >= 5 and not is_down:
                    subprocess.run([*port(lab, "relay-c"), "down"], check=True)
                    is_down = True
                if event["type"] == "message" and "esx-a2 no longer sends through it" in event["text"]:
                    subprocess.run([*port(lab, "relay-c"), "up"], check=True)
            err = child.stderr.read()
            child.wait(timeout=60)
        assert "Traceback" not in err
        last = {event["vm"]: event["state"] for event in events if event["type"] == "move"}
        told = [event["text"] for event in events if event["type"] == "message"]
        assert last == dict.fromkeys(VMS, "success"), told
        assert child.returncode == 0
        assert [text for text in told if text.startswith("relay relay-c carries nothing while")]
        assert [text for text in told if "its interface lan0 is down" in text]
        assert "relay relay-c is well again: source/esx-a2 sends through it as before" in told
        ways = [
            event["how"]
            for event in events
            if event["type"] == "changed" and event["target"] == "source/esx-a2" and event["key"].startswith("route/")
        ]
        assert ways[-1] == "applied"
        assert "reverted" in ways
        still = [event for event in events if event["type"] == "relay_sample" and event["streams"] and not event["bps"]]
        assert not [sample for sample in still if "limited by the circuit" in sample["limiter"]]
        assert lab.json("restore-defaults")["left"] == []
        assert witness.differences(before, lab.state()) == []
