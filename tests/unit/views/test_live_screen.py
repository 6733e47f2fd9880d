"""The live screen and the heartbeat as text: what 500 VMs come to, that nothing wraps or jumps, and what it costs."""

from __future__ import annotations

import io
import os
import pty
import select
import time

import pytest
from rich.console import Console

from lrvmotion.events import CapChanged, Interrupted, Message, Move, RelaySample, RunStarted, Upcoming, WindowChanged
from lrvmotion.plan.plan import Plan
from lrvmotion.views.events import lines
from lrvmotion.views.live import heartbeat
from lrvmotion.views.live.rows import Columns, chosen, fit, fit_path, row
from lrvmotion.views.live.screen import FRAMES, Screen, screen, sparkline
from lrvmotion.views.live.state import LINGER_S, State

GIB = 1024**3
PLAN = Plan(run="abcdef", owner_id="abcdef", mode="proxy", relays=("relay-a",))
LINES_ABOVE = 7  # the first VM's line, with one relay
REASON = "the migration has exceeded the maximum switchover time " * 4


def move(number: int, state: str = "queued", percent: int = 0, **more) -> Move:
    return Move(
        vm=f"web-{number}", state=state, source_host="esx-a1", target_host="esx-b1.example.com", percent=percent,
        **{"bytes_total": 10 * GIB, "cold_bytes": 4 * GIB, "wave": 1 + number // 100, "attempts": 1} | more,
    )  # fmt: skip


def fleet(take, count: int = 500) -> None:
    """Tell *take* of a run in full swing: 8 run, 2 wait, 3 failed, 1 is held, 20 have moved."""
    for number in range(count):
        take(move(number, attempts=0))
    for number in range(8):
        take(move(number, "running", 10 + number))
    for number in range(8, 10):
        take(move(number, "waiting", wait_s=45.0, reason=REASON))
    for number in range(10, 13):
        take(move(number, "error", reason=REASON))
    take(move(13, "held", reason="is on a host that was not prepared"))
    for number in range(14, 34):
        take(move(number, "running", 0))
        take(move(number, "success", 100, elapsed_s=80.0))


class Seen:
    """A screen with a clock of its own, and what it draws."""

    def __init__(self, width: int, height: int) -> None:
        self.now = 0.0
        self.screen = Screen(PLAN, lambda: self.now)
        self._size = width, height

    def lines(self) -> list[str]:
        width, height = self._size
        to = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system=None)
        to.print(self.screen)
        return to.file.getvalue().splitlines()


@pytest.fixture(params=[(80, 24), (100, 30), (140, 40), (200, 60)], ids=lambda size: f"{size[0]}x{size[1]}")
def size(request) -> tuple[int, int]:
    return request.param


def test_500_vms_fit_any_terminal(size):
    """What runs, waits, and last failed has a line; the rest is counted; nothing wraps and nothing scrolls."""
    seen = Seen(*size)
    seen.screen(RunStarted(run="abcdef", mode="proxy", journal="j", vms=(), forecast_s=3600.0))
    fleet(seen.screen)
    seen.now = LINGER_S
    seen.screen(WindowChanged(is_open=True, until="2026-11-24T06:00:00+01:00"))
    seen.screen(
        RelaySample(
            relay="relay-a", streams=5, bps=9e8, rtt_ms=57.0, retransmits=0.05, limiter=REASON, bytes=1,
            cap_bps=2_000_000_000,
        )
    )  # fmt: skip
    for second in range(1, 5):
        seen.now = LINGER_S + second
        drawn = seen.lines()
    text = "\n".join(drawn)
    assert max(len(line) for line in drawn) <= size[0]
    assert size[1] - 2 <= len(drawn) < size[1]
    assert "500 VMs: 20 moved, 8 running, 2 waiting, 3 failed, 1 held, 466 queued" in text
    assert all(f"web-{number} " in text for number in [*range(10), 13])
    assert "900 Mbit/s, highest 900 Mbit/s" in text
    assert "forecast 1:00:00 (" in text
    assert "cap 2.00 Gbit/s" in text
    assert "more: " in text
    assert "maintenance window open" in drawn[0]


@pytest.mark.parametrize(
    ("width", "last"),
    [
        (80, " · 9:54 left · total 10:19 · forecast 1:00:00 (-49:41)"),
        (70, " · 9:54 left · forecast 1:00:00 (-49:41)"),
        (50, " · 9:54 left"),
    ],
)
def test_of_a_line_that_is_too_long_whole_figures_are_left_out(width, last):
    """Half of a time reads as another one."""
    seen = Seen(width, 24)
    seen.screen(RunStarted(run="abcdef", mode="proxy", journal="j", vms=(), forecast_s=3600.0))
    for percent in range(5):
        seen.screen(move(1, "running", percent))
        seen.lines()
        seen.now += 5.0
    (text,) = (line for line in seen.lines() if " left" in line)
    assert text.rstrip().endswith(last)


ENTERED, LEFT, HOME, UP = "\x1b[?1049h", "\x1b[?1049l", "\x1b[H", "\x1b[1A"


def test_no_frame_rests_on_where_the_last_one_was(monkeypatch):
    """A terminal that is resized moves what is on it: counted up from the cursor, pieces of the last frame stay."""
    theirs, ours = pty.openpty()
    monkeypatch.setenv("TERM", "xterm-256color")
    drawn = b""
    end = time.monotonic() + 20
    with os.fdopen(theirs, "rb", 0) as seen, os.fdopen(ours, "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        with screen(PLAN, quiet=False) as show:
            show(move(1, "running", 10))
            while drawn.count(b"proxy mode") < 3:
                assert time.monotonic() < end
                if select.select([seen], [], [], 0.1)[0]:
                    drawn += seen.read(65536)
        while select.select([seen], [], [], 0.1)[0]:
            drawn += seen.read(65536)
    before, *frames = drawn.decode().split("proxy mode")
    assert UP not in drawn.decode()
    assert ENTERED in before, "on a screen of its own: what the terminal showed before comes back"
    assert all(HOME in frame for frame in (before, *frames[:-1])), "each begins at the top"
    assert LEFT in frames[-1]


def test_a_line_of_a_vm_has_its_bytes_by_path_and_its_tries():
    """Wave, phase, vMotion and NFC, percent, rate, time left, attempts."""
    seen = Seen(80, 24)
    fleet(seen.screen, 200)
    for percent in range(11, 20):
        seen.now += 5.0
        seen.screen(move(0, "running", percent, attempts=2))
    line = next(line for line in seen.lines() if line.startswith("web-0 "))
    rate = 10 * GIB / 100 * 8 / 5
    assert line.split() == [
        "web-0", "1", "moving", "6.0", "GiB", "4.0", "GiB", "19", f"{rate / 1e6:.0f}", "Mbit/s", "6:45", "2",
    ]  # fmt: skip


def test_lines_stay_where_they_are():
    """A VM that ends gives its place to the next that starts; the others do not move."""
    seen = Seen(100, 30)
    fleet(seen.screen)
    before = [line.split()[0] for line in seen.lines() if " moving " in line]
    seen.screen(move(3, "success", 100, elapsed_s=9.0))
    assert seen.lines()[LINES_ABOVE + 3].split()[:3] == ["web-3", "1", "moved"]
    seen.screen(move(40, "running", 0))
    after = [line.split()[0] for line in seen.lines() if " moving " in line]
    assert after == ["web-40" if vm == "web-3" else vm for vm in before]


def test_few_vms_are_in_the_queues_order_all_the_time():
    """Whatever becomes of them."""
    state = State()
    fleet(lambda event: state.take(event, 0.0), 34)
    assert chosen(state, 40, 0.0) == [f"web-{number}" for number in range(34)]


def test_who_is_next_on_the_screen_is_who_starts_next():
    """In the schedule's own order; once one of them has started the others move up, and the queue's order follows."""
    state = State()
    fleet(lambda event: state.take(event, 0.0), 300)
    state.take(Upcoming(vms=("web-120", "web-40")), 0.0)
    assert state.queued(4) == ["web-120", "web-40", "web-34", "web-35"]
    state.take(move(120, "running", 1), 0.0)
    assert state.queued(3) == ["web-40", "web-34", "web-35"]
    shown = chosen(state, 30, LINGER_S)
    assert shown.index("web-40") < shown.index("web-34")


@pytest.mark.parametrize("rows", range(1, 60))
def test_never_more_lines_than_there_is_room_for(rows):
    """And never a VM twice."""
    state = State()
    fleet(lambda event: state.take(event, 0.0))
    shown = chosen(state, rows, 0.0)
    assert len(shown) == len(set(shown)) == rows


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_rate_is_never_negative_and_falls_when_a_move_stands_still(attempts):
    """Also where the next try begins at 0 again."""
    state = State()
    state.take(move(1, "running", 0), 0.0)
    assert state.rate("web-1", 1.0) is None
    for second in range(10, 60, 10):
        state.take(move(1, "running", second), float(second))
    moving = state.rate("web-1", 50.0)
    still = state.rate("web-1", 90.0)
    assert moving == pytest.approx(10 * GIB / 100 * 8, rel=0.01)
    assert still == pytest.approx(10 * GIB / 100 * 8 / 40, rel=0.01)
    state.take(move(1, "waiting", 0, wait_s=30.0), 100.0)
    state.take(move(1, "running", 0, attempts=attempts), 130.0)
    for now in range(130, 160):
        assert (state.rate("web-1", float(now)) or 0.0) >= 0.0
        assert state.bps(float(now)) >= 0.0


def test_what_failed_is_not_waited_for():
    """The bytes of the queue are those of VMs that move or will."""
    state = State()
    for number in range(4):
        state.take(move(number), 0.0)
    state.take(move(0, "running", 0), 0.0)
    state.take(move(0, "success", 100), 1.0)
    state.take(move(1, "error"), 1.0)
    assert (state.total, state.carried(1.0)) == (30 * GIB, 10 * GIB)
    assert state.ended is False
    state.take(Interrupted(level=1), 1.0)
    assert state.total == 10 * GIB
    for number in (2, 3):
        state.take(move(number, "held"), 1.0)
    assert (state.total, state.ended) == (10 * GIB, True)


def test_phases_in_words():
    """Queued by vCenter is not moving yet; at 100 % the VM is looked at."""
    state = State()
    phases = {
        ("running", 3, False, 0.0): "moving", ("running", 0, True, 0.0): "pending",
        ("running", 100, False, 0.0): "verifying", ("waiting", 0, False, 65.0): "retry 1:05",
        ("success", 100, False, 0.0): "moved", ("error", 0, False, 0.0): "failed", ("held", 0, False, 0.0): "held",
    }  # fmt: skip
    for (name, percent, queued, wait_s), phase in phases.items():
        state.take(move(1, name, percent, wave=1, queued=queued, wait_s=wait_s), 0.0)
        columns = Columns.of(80, state)
        assert row(state, "web-1", columns, 0.0).plain[columns.vm + 1 :].startswith(f"{phase} ")


def test_names_of_any_alphabet_keep_the_columns():
    """Cells are counted, not characters, and nothing moves the cursor."""
    assert fit("サーバー東京", 5) == "サー…"
    assert fit("a\x1b[2Jb\n", 8) == "a [2Jb  "
    assert fit("ab", 4) == "ab  "


def test_of_a_path_the_end_is_shown():
    """VMs of one name are called by their paths, and begin alike."""
    assert fit_path("Datacenter:Prod/Web/web1", 12) == "…od/Web/web1"
    assert fit_path("Prod/web1", 12) == "Prod/web1   "
    assert fit_path("a-name-that-is-long", 8) == "a-name-…"


def test_the_graph_is_as_high_as_its_highest_figure():
    """What is not nothing has a block, what is new stands at the right."""
    assert sparkline([0.0, 1.0, 50.0, 100.0], 6) == "   ▁▄█"
    assert sparkline([], 3) == "   "
    assert sparkline([5.0] * 9, 4) == "████"


def test_a_cap_that_changes_is_shown_at_once():
    """Before the relay is asked again."""
    seen = Seen(100, 24)
    fleet(seen.screen, 40)
    seen.screen(RelaySample(relay="relay-a", streams=5, bps=1.0, rtt_ms=1.0, retransmits=0.0, limiter="", bytes=1))
    assert "cap" not in "\n".join(seen.lines())
    seen.screen(CapChanged(relay="relay-a", bps=500_000_000))
    assert "cap 500 Mbit/s" in "\n".join(seen.lines())


def test_a_message_is_shown_for_a_while():
    """Then the keys are again."""
    seen = Seen(80, 24)
    fleet(seen.screen, 40)
    seen.screen(Message(text="relay-a: was started again"))
    assert seen.lines()[-1].startswith("relay-a: was started again")
    seen.now = 60.0
    assert seen.lines()[-1].startswith("Ctrl-C")


def test_500_vms_cost_little():
    """50 events a second and the frames of a second: less than 5 % of a core, measured with room for a slow machine."""
    seen = Seen(140, 40)
    fleet(seen.screen)
    seen.lines()
    best = 1.0
    for _ in range(3):
        began = time.process_time()
        for number in range(50):
            seen.screen(move(number % 8, "running", 30))
        for _ in range(FRAMES):
            seen.lines()
        best = min(best, time.process_time() - began)
    assert best < 0.05


def test_the_heartbeat_says_how_the_run_stands(capsys):
    """Once a minute, while VMs move, whether or not anything happens; not when all have ended."""
    now = [0.0]
    beating = heartbeat.Heartbeat(lines.Lines(), clock=lambda: now[0])
    beating(RunStarted(run="abcdef", mode="proxy", journal="j", vms=(), forecast_s=600.0))
    fleet(beating, 40)
    capsys.readouterr()
    for second in range(181):
        now[0] = float(second)
        beating.beat()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0].startswith("40 VMs: 20 moved, 8 running, 2 waiting, 3 failed, 1 held, 6 queued; ")
    assert "of 360.0 GiB" in said[0]
    assert "forecast 10:00" in said[0]
    for number in range(40):
        beating(move(number, "success", 100))
    capsys.readouterr()
    now[0] = 999.0
    beating.beat()
    assert capsys.readouterr().err == ""


def test_the_heartbeat_beats_by_itself(capsys):
    """Where the vCenter says nothing for an hour, the log does not stand still."""
    with heartbeat.Heartbeat(lines.Lines(), every_s=0.05) as beating:
        beating(move(1, "running", 5))
        deadline = time.monotonic() + 10
        said = ""
        while "1 VM: 1 running" not in said and time.monotonic() < deadline:
            time.sleep(0.02)
            said += capsys.readouterr().err
    assert "1 VM: 1 running" in said


def test_off_a_terminal_a_line_is_a_change(capsys):
    """Not a line a percent, nor one for every VM that is planned; no colour, no bar."""
    tell = lines.Lines()
    for event in (move(1), move(1, "running"), move(1, "running", 5), move(1, "waiting", wait_s=30.0, reason="lost")):
        tell(event)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "web-1: running, esx-a1 -> esx-b1.example.com",
        "web-1: waiting, esx-a1 -> esx-b1.example.com, next attempt in 30 s: lost",
    ]
