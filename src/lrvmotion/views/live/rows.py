"""The lines of the VMs on the live screen: columns as the width has room for, and which VMs are worth a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.text import Text

from lrvmotion.events import Move
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.views.live.progress import left
from lrvmotion.views.live.state import State
from lrvmotion.views.results import STYLES
from lrvmotion.views.text import units, words

BADS = 4  # failed and held VMs, the last ones, that keep a line beside those that run
NEXT = 3  # of the queue
FULL, EMPTY = "━", "─"
_PHASES = {MigrationState.RUNNING: "moving", MigrationState.SUCCESS: "moved", MigrationState.ERROR: "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Widths, in cells, 0: not shown; one column apart."""

    vm: int
    wave: int
    phase: int = 10
    to: int = 0
    bar: int = 0
    vmotion: int = 9
    nfc: int = 0
    percent: int = 4
    rate: int = 11
    left: int = 8
    attempts: int = 3

    @classmethod
    def of(cls, width: int, state: State) -> Columns:
        """Return columns for *width*, as wide as the longest names of *state* need: at 80 a VM has 14 or more."""
        wave, nfc = (4 if state.waves > 1 else 0), (9 if state.cold_bytes else 0)
        spare = width - 45 - 6 - (wave + 1 if wave else 0) - (nfc + 1 if nfc else 0)
        vm = min(state.longest_vm, max(min(spare, 20), 8))
        spare -= vm
        bar = 8 if spare >= 9 else 0
        spare -= bar + 1 if bar else 0
        to = min(state.longest_host, 12)
        to = to if spare > to else 0
        spare = max(spare - (to + 1 if to else 0), 0)
        more = min(state.longest_vm - vm, spare)
        wider = min(state.longest_host - to, spare - more) if to else 0
        vm, to = vm + more, to + wider
        bar += min(spare - more - wider, 22) if bar else 0
        return cls(vm=vm, wave=wave, nfc=nfc, bar=bar, to=to)

    def head(self) -> Text:
        """Return the line of names."""
        cells = [
            fit("VM", self.vm), fit("wave", self.wave), fit("phase", self.phase), fit("to", self.to), fit("", self.bar),
            right("vMotion", self.vmotion), right("NFC", self.nfc), right("%", self.percent),
            right("rate", self.rate), right("time", self.left), right("try", self.attempts),
        ]  # fmt: skip
        return _line([Text(" ".join(cell for cell in cells if cell).rstrip(), style="dim")])


def chosen(state: State, rows: int, now: float) -> list[str]:
    """Return the VMs that are worth one of *rows* lines: all of them in their order where that many are there.

    Else those that run, each in its place; that wait for their next attempt; the last that failed or are held; the next
    of the queue; and the last that moved, which fill what is left.
    """
    if len(state.vms) <= rows:
        return list(state.vms)
    placed = state.placed(now)[:rows]
    busy = [*placed, *sorted(state.waiting, key=lambda vm: state.waiting[vm])]
    bad = [vm for vm in reversed(state.bad) if vm not in placed]
    moved = (vm for vm in reversed(state.moved) if vm not in placed)
    least_bad, least_next = min(BADS, rows // 5, len(bad)), min(NEXT, rows // 7, state.counts[MigrationState.QUEUED])
    shown = busy[: max(rows - least_bad - least_next, 1)]
    shown += bad[: max(rows - len(shown) - least_next, 0)]
    shown += state.queued(rows - len(shown))
    return [*shown, *islice(moved, max(rows - len(shown), 0))]


def more(state: State, shown: Sequence[str]) -> str:
    """Return what is not shown, counted by its state; empty where all is."""
    rest = state.counts.copy()
    rest.subtract(state.vms[vm].move.state for vm in shown)
    return f"and {rest.total()} more: {words.counts(rest)}" if rest.total() else ""


def row(state: State, vm: str, columns: Columns, now: float) -> Text:
    """Return the line of *vm*; what failed, is held or waits says why in place of its numbers."""
    progress = state.vms[vm]
    move = progress.move
    style = STYLES.get(move.state, "")
    head = [
        Text(f"{fit_path(vm, columns.vm)} "),
        *([Text(f"{right(str(move.wave), columns.wave)} ")] if columns.wave else []),
        Text(f"{fit(phase(move, state.waiting.get(vm, now) - now), columns.phase)} ", style=style),
    ]
    if move.state.is_bad or move.state == MigrationState.WAITING:
        tried = f"attempt {move.attempts}: " if move.attempts > 1 or move.state == MigrationState.WAITING else ""
        return _line([*head, Text(clean(f"{tried}{move.reason or ''}"), style="dim")])
    bps = state.rate(vm, now) if move.state in {MigrationState.RUNNING, MigrationState.SUCCESS} else None
    done = progress.carried(now, bps)
    percent = done / move.bytes_total * 100 if move.bytes_total else float(move.percent)
    rest: float | None = None
    if move.state.is_final:
        rest = progress.elapsed(now)  # how long it took
    elif move.state == MigrationState.RUNNING and percent < 99:
        # The last percent is what the VM dirtied meanwhile, transferred again: nobody knows how long that takes.
        rest = left(move.bytes_total, done, bps)
    begun = move.state != MigrationState.QUEUED
    cells = [
        right(_size(move.bytes_total - move.cold_bytes), columns.vmotion), right(_size(move.cold_bytes), columns.nfc),
        right(str(int(percent)) if begun else "", columns.percent),
        right("-" if bps is None else units.rate(bps), columns.rate) if begun else " " * columns.rate,
        right("-" if rest is None else units.clock(rest), columns.left) if begun else " " * columns.left,
        right(str(move.attempts) if move.attempts else "", columns.attempts),
    ]  # fmt: skip
    return _line(
        [
            *head,
            *([Text(f"{fit(move.target_host, columns.to)} ")] if columns.to else []),
            *(bar(percent if begun else 0.0, columns.bar) if columns.bar else []),
            Text(" ".join(cell for cell in cells if cell).rstrip(), style="" if begun else "dim"),
        ]
    )


def phase(move: Move, wait_s: float) -> str:
    """Return what a VM does now, in at most 10 characters; *wait_s* is left to its next attempt."""
    if move.state == MigrationState.WAITING:
        return f"retry {units.clock(wait_s)}" if wait_s > 0 else "retry now"
    if move.state == MigrationState.RUNNING and move.percent >= 100:
        return "verifying"
    if move.state == MigrationState.RUNNING and move.queued:
        return "pending"
    return _PHASES.get(move.state, move.state)


def bar(percent: float, width: int) -> list[Text]:
    """Return a bar of *width* cells and the cell after it."""
    full = max(min(round(percent / 100 * width), width), 0)
    return [Text(FULL * full, style="cyan"), Text(EMPTY * (width - full) + " ", style="dim")]


def fit(text: str, width: int) -> str:
    """Return *text* in exactly *width* cells, cut with an ellipsis or filled up."""
    text = clean(text)
    if cell_len(text) > width > 0:
        text = chop_cells(text, width - 1)[0] + "…" if width > 1 else "…"
    return set_cell_size(text, width)


def fit_path(text: str, width: int) -> str:
    """Return *text* in exactly *width* cells; of a path, "Prod/Web/web1", the end is kept."""
    text = clean(text)
    if "/" not in text or cell_len(text) <= width:
        return fit(text, width)
    end = text
    while end and cell_len(end) > width - 1:
        end = end[1:]
    return set_cell_size(f"…{end}", width)


def right(text: str, width: int) -> str:
    """Return *text* at the right of *width* cells."""
    return text.rjust(width)[:width] if width else ""


def clean(text: str) -> str:
    """Return *text* on one line without what would move the cursor."""
    return "".join(char if char.isprintable() else " " for char in text)


def _size(count: int) -> str:
    return units.size(count) if count else "-"


def _line(parts: Sequence[Text]) -> Text:
    return Text("", no_wrap=True, overflow="ellipsis", end="").join(parts)
