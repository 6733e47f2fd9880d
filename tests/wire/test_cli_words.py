"""The CLI's own words: help, usage errors, JSON errors, settings in words, the live screen's shape."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pytest
from rich.console import Console

from lrvmotion.events import Changed, Interrupted, Move, RelaySample
from lrvmotion.model.setting import ABSENT, Value, document
from lrvmotion.plan.plan import Plan
from lrvmotion.views.live.progress import Progress, left
from lrvmotion.views.live.screen import Screen
from lrvmotion.views.text import words

MIB = 1024 * 1024


def cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "lrvmotion", *arguments], capture_output=True, text=True, check=False, timeout=30,
        stdin=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "80", **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [(), ("init",), ("check",), ("plan",), ("migrate",), ("restore-defaults",), ("status",), ("lab",), ("lab", "up")],
)
def test_no_help_is_cut(command):
    """At 80 columns every sentence is whole."""
    done = cli(*command, "--help")
    cut = [line for line in done.stdout.splitlines() if line.endswith("...") and not line.startswith("Usage:")]
    assert (done.returncode, cut) == (0, [])


@pytest.mark.parametrize(
    "command", ["init", "check", "plan", "migrate", "restore-defaults", "status", "throttle", "report", "support"]
)
def test_every_option_has_its_variable(command):
    """But for what only makes sense on a command line: -h."""
    listed = cli(command, "--help").stdout.partition("Options:\n")[2]
    parts = [" ".join(part.split()) for part in re.split(r"^  (?=-)", listed, flags=re.MULTILINE)[1:]]
    options = [part for part in parts if not part.startswith("-h")]
    assert options
    assert all("[env var: LRVMOTION_" in part for part in options), options


def test_without_arguments_the_help_is_the_answer():
    """On stderr, with status 2, and not as an error's sentence."""
    done = cli()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: lrvmotion")


@pytest.mark.parametrize("asked", [("--output", "json"), ("--output=json",)])
def test_a_usage_error_is_a_json_document_too(asked):
    """Message, hint and status on stdout; the same sentence on stderr."""
    done = cli("plan", *asked, "--nonsense")
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["status"]) == (2, 2)
    assert "--nonsense" in error["message"]
    assert error["hint"] in done.stderr


def test_an_error_is_the_last_event():
    """In NDJSON, whose stream may have begun."""
    done = cli("migrate", "--mode", "stock", "--yes", "vm1", LRVMOTION_OUTPUT="ndjson", LRVMOTION_CONFIG="/nonexistent")
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["type"], last["status"], done.returncode) == ("error", 2, 2)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("option/Migrate.VMotionStreamHelpers", "Migrate.VMotionStreamHelpers"),
        ("file//etc/sysctl.d/x.conf", "file /etc/sysctl.d/x.conf"),
        ("route/vmotion/10.99.0.9/32", "route 10.99.0.9/32 (vmotion)"),
        ("portgroup/lrvmotion-abcdef-1", "port group lrvmotion-abcdef-1"),
        ("governor", "governor"),
    ],
)
def test_a_setting_is_named_in_words(key, said):
    """The journal's keys are for the journal."""
    assert words.setting(key) == said


def test_values_are_in_words():
    """Switches are on or off, a file is its size and hash, lists have no brackets."""
    assert [words.value(Value("bool", True)), words.value(ABSENT), words.value(Value("string", ""))] == [
        "on",
        "none",
        '""',
    ]
    assert words.value(document(content="a\nb\n", mode=0o644)).startswith("2 lines, sha256 ")
    assert words.value(document(sources=["10.88.0.9"], enabled=True)) == "enabled, from 10.88.0.9"


def drawn(screen: Screen, width: int) -> list[str]:
    """Return the lines of *screen* on a terminal of *width* columns and 24 rows."""
    to = Console(width=width, height=24, record=True, file=io.StringIO())
    to.print(screen)
    return to.export_text().splitlines()


def move(percent: int, elapsed: float, state: str = "running", vm: str = "vm1") -> Move:
    return Move(
        vm=vm, state=state, source_host="esx-a1", target_host="esx-b1", percent=percent, bytes_total=100 * MIB,
        elapsed_s=elapsed,
    )  # fmt: skip


def test_the_rate_is_that_of_the_last_steps():
    """A slow start does not spoil the estimate, and time goes on between two steps."""
    progress = Progress(move(0, 0.0), 0.0)
    for second in range(1, 31):
        progress.take(move(second, float(second)), float(second))
    for second in range(31, 61):
        progress.take(move(min(30 + 2 * (second - 30), 98), float(second)), float(second))
    assert progress.rate() == pytest.approx(2 * MIB * 8, rel=0.01)
    assert progress.elapsed(61.0) == pytest.approx(61.0)
    assert left(100 * MIB, 50 * MIB, 2 * MIB * 8) == pytest.approx(25.0)


def test_what_is_shown_never_passes_the_next_step():
    """Between two steps the estimate goes on, by less than one percent."""
    progress = Progress(move(10, 5.0), 5.0)
    assert 10 * MIB <= progress.carried(100.0, 1e9) < 11 * MIB


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_live_screen_is_steady(width):
    """No line wraps, and columns stay where they are while numbers and names grow."""
    now = [0.0]
    plan = Plan(run="abcdef", owner_id="abcdef", mode="proxy", relays=("relay-a",), streams=5)
    screen = Screen(plan, lambda: now[0])
    heads, heights = set(), set()
    sample = RelaySample(
        relay="relay-a", streams=5, bps=9.9e8, rtt_ms=55.0, retransmits=0.02, limiter="the circuit limits " * 8, bytes=1
    )
    for second in range(40):
        now[0] = float(second)
        screen(move(second * 2, now[0]))
        screen(move(second, now[0], vm="a-virtual-machine-with-a-name-that-does-not-end"))
        if second > 3:
            screen(sample)
        lines = drawn(screen, width)
        assert max(len(line) for line in lines) <= width
        heads.add(next(line for line in lines if line.startswith("VM ")).rstrip())
        heights.add(len(lines))
    assert (len(heads), len(heights)) == (1, 1)


def test_an_interrupt_stays_on_the_screen():
    """Whatever else happens: the user pressed a key and sees that it was taken."""
    screen = Screen(Plan(run="abcdef", owner_id="abcdef", mode="stock"), lambda: 0.0)
    screen(move(1, 1.0))
    screen(Interrupted(level=1))
    screen(move(2, 2.0))
    assert "no more VMs are started" in drawn(screen, 100)[-1]


def test_the_live_screen_shows_the_last_changes_before_the_first_move():
    """A run that changes a hundred settings is not a still picture."""
    plan = Plan(run="abcdef", owner_id="abcdef", mode="native", streams=48, vmknics=5)
    screen = Screen(plan, lambda: 0.0)
    for number in range(1, 31):
        key = f"vmknic/10.88.0.{number}"
        screen(
            Changed(how="applied", target="source/esx-a1", key=key, prior="-", value="MTU 1500", done=number, total=30)
        )
    lines = drawn(screen, 80)
    assert lines[-1] == "[30/30] source/esx-a1: vmknic 10.88.0.30 set: MTU 1500"
    assert "vmknic 10.88.0.29" in lines[-2]
    assert len(lines) < 12


def test_a_cap_that_stops_everything_is_refused():
    """8 kbit/s was meant as something else: one sentence with the least cap, before anything is asked."""
    done = cli("throttle", "8000")
    assert done.returncode == 2
    assert "a cap of 8000 bit/s is too low to move anything: the minimum is 100k" in done.stderr
