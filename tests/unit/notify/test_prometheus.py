"""The metrics of a run, as Prometheus reads them: every line by its grammar."""

from __future__ import annotations

import re
import time

from lrvmotion.events import Changed, Move, RelaySample, RunEnded, RunStarted
from lrvmotion.notify.prometheus import Metrics

VALUE = r"[+-]?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|Inf)|NaN"
LABEL = r'[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(rf"([a-zA-Z_:][\w:]*)(?:\{{({LABEL}(?:,{LABEL})*)\}})? ({VALUE})")


def parsed(text: str) -> dict[str, float]:
    """Parse the text format strictly: HELP, then TYPE, then all samples of that name, each once."""
    assert text.endswith("\n")
    found: dict[str, float] = {}
    seen: list[str] = []
    helped = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped = line.split(" ", 3)[2]
            assert helped not in seen, f"{helped} comes twice"
            assert line.split(" ", 3)[3]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == helped
            assert kind in {"gauge", "counter"}
            assert (kind == "counter") == name.endswith("_total")
            seen.append(name)
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] == seen[-1], "a sample belongs to the type above it"
            key = line.rpartition(" ")[0]
            assert key not in found, f"{key} comes twice"
            found[key] = float(match[3])
    return found


def move(vm: str, state, percent: int = 0) -> Move:
    return Move(vm=vm, state=state, source_host="a", target_host="b", percent=percent, bytes_total=1000, attempts=1)


def sample(relay: str, bps: float, cap: int | None = None) -> RelaySample:
    return RelaySample(
        relay=relay, streams=4, bps=bps, rtt_ms=151.5, retransmits=0.025, limiter="loss", bytes=7, cap_bps=cap
    )


def metrics(path, said=None) -> Metrics:
    return Metrics(path, lambda: 1_763_900_000.25, (said if said is not None else []).append)


def test_the_file_is_what_prometheus_reads(tmp_path):
    """Every line fits the grammar, and the figures are those of the events."""
    path = tmp_path / "lrvmotion.prom"
    told = metrics(path)
    told(RunStarted(run="abc234", mode="proxy", journal="j", vms=("db", "web", "old")))
    for event in (
        move("db", "running", 40), move("web", "success", 100), move("old", "held"),
        Changed(how="applied", target="t", key="k", prior="1", value="2", done=1, total=1),
        sample("relay-a", 2e8, 500_000_000), sample("relay-b", 1e8),
    ):  # fmt: skip
        told(event)
    during = parsed(told.text())
    told(RunEnded(run="abc234", outstanding=5))
    after = parsed(path.read_text())
    assert during['lrvmotion_run_info{run="abc234",mode="proxy"}'] == 1
    states = [during[f'lrvmotion_vms{{state="{state}"}}'] for state in ("running", "success", "held", "queued")]
    assert states == [1, 1, 1, 0]
    assert during["lrvmotion_moved_bytes"] == 1400
    assert during["lrvmotion_rate_bits_per_second"] == 3e8
    assert during['lrvmotion_relay_rtt_seconds{relay="relay-a"}'] == 0.1515
    assert during['lrvmotion_relay_retransmit_ratio{relay="relay-a"}'] == 0.025
    assert during['lrvmotion_relay_cap_bits_per_second{relay="relay-a"}'] == 5e8
    assert 'lrvmotion_relay_cap_bits_per_second{relay="relay-b"}' not in during, "no cap is no figure"
    assert (during["lrvmotion_run_active"], after["lrvmotion_run_active"]) == (1, 0)
    assert (during["lrvmotion_outstanding_settings"], after["lrvmotion_outstanding_settings"]) == (1, 5)
    assert after["lrvmotion_last_update_timestamp_seconds"] == 1_763_900_000.25


def test_a_name_with_quotes_and_lines_stays_a_label(tmp_path):
    """What a label must not hold is escaped."""
    told = metrics(tmp_path / "x.prom")
    told(sample('re"l\\ay\n1', 1.0))
    assert r'lrvmotion_relay_streams{relay="re\"l\\ay\n1"}' in parsed(told.text())


def test_other_accounts_may_read_the_file_and_nothing_is_left_beside_it(tmp_path):
    """The collector is another user, and it reads every *.prom of the folder: never half a file."""
    told = metrics(tmp_path / "x.prom")
    told(RunStarted(run="r", mode="stock", journal="j", vms=()))
    told(RunEnded(run="r", outstanding=0))
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.prom"]
    assert (tmp_path / "x.prom").stat().st_mode & 0o777 == 0o644


def test_the_file_is_there_as_soon_as_the_run_begins(tmp_path):
    """Nobody waits five seconds to see that a run has begun."""
    told = metrics(tmp_path / "x.prom")
    told(RunStarted(run="r", mode="stock", journal="j", vms=()))
    deadline = time.monotonic() + 4
    while not (tmp_path / "x.prom").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert parsed((tmp_path / "x.prom").read_text())["lrvmotion_run_active"] == 1
    told(RunEnded(run="r", outstanding=0))


def test_a_file_that_cannot_be_written_is_said_once_and_ends_nothing(tmp_path):
    """Metrics are no reason to stop moving VMs."""
    said: list = []
    told = metrics(tmp_path / "gone" / "x.prom", said)
    for _ in range(2):
        told(RunStarted(run="r", mode="stock", journal="j", vms=()))
        told(RunEnded(run="r", outstanding=0))
    assert len(said) == 1
    assert "x.prom: the metrics cannot be written: No such file" in said[0].text
