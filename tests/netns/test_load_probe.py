"""check --load: what the circuit carries, measured from box to box, and nothing left anywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab_client import Lab
from lrvmotion.lab import netns, witness
from lrvmotion.ports.shell import Completed
from lrvmotion.relay import load_test_runner

pytestmark = pytest.mark.netns

FAR = ("target", "relay-b", "10.99.0.1")
NEAR = ("source", "relay-a", "10.88.0.1")
# As a provider does it: each flow has its token bucket, and what comes on top is dropped.
POLICER = """
table ip police {
  set flows { type ipv4_addr . inet_service . inet_service; flags dynamic; size 4096; timeout 1m; }
  chain in {
    type filter hook input priority 0;
    tcp dport 20000-29999 update @flows { ip saddr . tcp sport . tcp dport \
      limit rate over 5 mbytes/second burst 250 kbytes } drop
  }
}
"""


class BoxShell:
    """A Shell in the network of one of the lab's boxes, without SSH: for one run of a few seconds."""

    def __init__(self, lab: Lab, site: str, box: str) -> None:
        self.inside = ["ip", "netns", "exec", netns.box_namespace(lab.spec, site, box)]
        self.name = f"relay/{box}"

    def run(self, argv, *, stdin=None, timeout_s=30.0):
        done = subprocess.run(
            [*self.inside, *argv], input=stdin, capture_output=True, timeout=timeout_s, check=False
        )  # fmt: skip
        return Completed(
            argv=tuple(argv), status=done.returncode, stdout=done.stdout.decode(), stderr=done.stderr.decode()
        )


def end(lab: Lab, site: str, box: str, address: str) -> load_test_runner.End:
    return load_test_runner.End(name=box, address=address, python=sys.executable, shell=BoxShell(lab, site, box))


def probes(lab: Lab) -> list[str]:
    """Return the command lines of the load probe's processes on both boxes."""
    found = []
    for site, box, _ in (NEAR, FAR):
        named = netns.box_namespace(lab.spec, site, box)
        pids = subprocess.run(["ip", "netns", "pids", named], capture_output=True, text=True, check=True)
        for pid in pids.stdout.split():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(word.startswith(b'{"address"') for word in words):
                found.append(f"{box}: {b' '.join(words).decode()}")
    return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("load"), name=f"load{os.getpid()}") as made:
        yield made


def test_the_circuit_is_measured_under_load_and_nothing_is_left(lab):
    """Every run with its rate, retransmits and RTT; BBR far ahead of newreno on the field profile; boxes as before."""
    before = lab.state()
    done = lab.json("check", "--load", "--yes", "--probes", "2")
    assert witness.differences(before, lab.state()) == []
    assert probes(lab) == []
    load = done["load"]
    assert load["missing"] == []
    runs = {(run["algorithm"], run["streams"]): run for run in load["runs"]}
    assert set(runs) == {("reno", 1), ("cubic", 1), ("reno", 48), ("bbr", 1), ("bbr", 5)}
    assert all(run["min_rtt_ms"] == pytest.approx(55, abs=5) for run in runs.values())
    assert all(len(run["stream_mbps"]) == run["streams"] for run in runs.values())
    assert all(run["mbps"] == pytest.approx(sum(run["stream_mbps"]), abs=0.1) for run in runs.values())
    assert runs["reno", 48]["mbps"] > 2 * runs["reno", 1]["mbps"]
    assert runs["bbr", 5]["mbps"] > 2 * runs["reno", 48]["mbps"]
    assert runs["bbr", 5]["retransmit_ratio"] > runs["reno", 1]["retransmit_ratio"]
    assert load["limiter"].startswith("loss limits: 48 newreno streams at ")
    codes = {finding["code"] for finding in done["findings"]}
    assert "load-limiter" in codes
    assert "load-not-measured" not in codes


def test_a_later_check_shows_the_last_load_probe_and_its_age(lab):
    """Without --load nothing is filled: the kept report is shown with its age."""
    first = lab.json("check", "--probes", "2")["load"]
    assert first["age_s"] > 0
    assert len(first["runs"]) == 5
    assert lab.json("check", "--probes", "2")["load"]["age_s"] > first["age_s"]


def test_a_far_box_that_does_not_answer_is_not_measured(lab):
    """The far relay host drops what comes: every run says so, and the exit status is that of the rest."""
    rule = "table ip wall { chain in { type filter hook input priority 0; tcp dport 20000-29999 drop; }; }\n"
    inside = ["ip", "netns", "exec", netns.box_namespace(lab.spec, "target", "relay-b")]
    subprocess.run([*inside, "nft", "-f", "-"], input=rule, text=True, check=True)
    try:
        done = lab.json("check", "--load", "--yes", "--probes", "2")
    finally:
        subprocess.run([*inside, "nft", "delete", "table", "ip", "wall"], check=True)
    assert done["load"]["runs"] == []
    assert len(done["load"]["missing"]) == 5
    assert done["load"]["limiter"] == "nothing could be measured under load"
    assert all("timed out" in run["reason"] for run in done["load"]["missing"])


def test_off_a_terminal_nobody_can_be_asked(lab):
    """Without --yes nothing is sent, status 3; without a far relay host a clear refusal."""
    before = json.dumps(lab.json("check", "--probes", "2")["load"]["runs"])
    asked = lab.run("check", "--load")
    assert asked.returncode == 3
    assert "hint: use --yes" in asked.stderr
    text = lab.config.read_text()
    start = text.index("[relay.target]")
    end = text.find("\n[", start + 1)
    lab.config.write_text(text[:start] + (text[end:] if end > 0 else ""))
    try:
        alone = lab.run("check", "--load", "--yes")
    finally:
        lab.config.write_text(text)
    assert alone.returncode == 3
    assert "[relay.target]" in alone.stderr
    assert json.dumps(lab.json("check", "--probes", "2")["load"]["runs"]) == before


def test_a_policer_of_each_stream_is_told_from_a_line(lab):
    """40 Mbit/s for each stream: five BBR streams carry five times what one does, and the report says which rate."""
    far = end(lab, *FAR)
    subprocess.run([*far.shell.inside, "nft", "-f", "-"], input=POLICER, text=True, check=True)
    try:
        report = load_test_runner.load(
            end(lab, *NEAR), far, lambda *_: None, clock=lambda: "2026-01-01T00:00:00+00:00",
            runs=(("bbr", 1), ("bbr", 5)), settle_s=2, window_s=3,
        )  # fmt: skip
    finally:
        subprocess.run([*far.shell.inside, "nft", "delete", "table", "ip", "police"], check=True)
    assert report.missing == ()
    assert report.policer_mbps == pytest.approx(40, rel=0.2)
    assert report.limiter.startswith("something on the way holds each stream at ")


def test_a_client_that_is_killed_leaves_no_process_on_the_boxes(lab):
    """Both ends notice that nobody reads them any more, long before their time is over."""
    before = lab.state()
    with lab.spawn("check", "--load", "--yes", "--probes", "2") as process:
        until = time.monotonic() + 60
        while len(probes(lab)) < 2:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    until = time.monotonic() + 8
    while found := probes(lab):
        assert time.monotonic() < until, found
        time.sleep(0.2)
    assert witness.differences(before, lab.state()) == []
