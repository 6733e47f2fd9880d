"""A run's report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lrvmotion.journal.audit_log import Entry
from lrvmotion.report.run_history import RunHistory
from lrvmotion.views.report import wording as say
from lrvmotion.views.text import units


def report(history: RunHistory, *, width: int | None = None, folded: bool = False) -> str:
    """Return the report of *history*; on a terminal of *width* columns the VMs' table has what fits.

    *folded*: settings that were restored are counted only.
    """
    parts = [f"# {say.title(history)}", say.headline(history) + "."]
    parts += [f"> {_text(note)}" for note in history.notes]
    parts.append(table(("", ""), say.facts(history)))
    parts += ["## VMs", _vms(history, width)]
    if rows := say.troubles(history):
        parts += ["## What failed", table(("VM", "when", "cause", "what helps"), rows)]
    parts += ["## Guests", say.IMPACT]
    if found := say.found_rows(history):
        parts.append(table(say.FOUND_HEAD, found))
    parts += ["## Tags, permissions and policies", _carried(history)]
    parts += ["## Settings", _settings(history, folded=folded)]
    if history.left:
        parts += ["Not restored when the run tried to:", table(say.LEFT_HEAD, say.left_rows(history))]
    if history.proofs:
        ok = {True: "yes", False: "no", None: "not possible"}
        proofs = [(one.subject, ok[one.ok], one.detail) for one in history.proofs]
        parts += ["## The proof before the first move", table(("path", "proven", "how"), proofs)]
    if history.samples:
        parts += ["## Relays", _relays(history)]
    if history.moments:
        parts += ["## What else happened", table(("after", "what"), say.diary(history), right={"after"})]
    return "\n\n".join(parts) + "\n"


def audit(entries: Sequence[Entry]) -> str:
    """Return the audit log as a table."""
    return table(say.AUDIT_HEAD, [say.audit_row(entry) for entry in entries], right={"no."}) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: set[str] | frozenset[str] = frozenset()) -> str:
    """Return a Markdown table, its columns padded so that it reads as plain text too."""
    lines = [[_text(cell) for cell in row] for row in rows]
    wide = [max([3, len(name), *(len(line[at]) for line in lines)]) for at, name in enumerate(head)]

    def row(cells: Sequence[str]) -> str:
        done = [c.rjust(w) if n in right else c.ljust(w) for c, w, n in zip(cells, wide, head, strict=True)]
        return f"| {' | '.join(done)} |"

    rule = ["-" * (w - 1) + ":" if n in right else "-" * w for w, n in zip(wide, head, strict=True)]
    return "\n".join([row(head), f"| {' | '.join(rule)} |", *(row(line) for line in lines)])


def _vms(history: RunHistory, width: int | None) -> str:
    """Return the table of the VMs without the columns that count least, as many as *width* has no room for."""
    head, rows = list(say.VM_HEAD), [list(say.vm_row(vm)) for vm in history.vms]
    for name in say.VM_SPARED:
        columns = zip(head, *rows, strict=True)
        if width is None or sum(max(map(len, cells)) + 3 for cells in columns) <= width:
            break
        at = head.index(name)
        for cells in (head, *rows):
            del cells[at]
    return table(head, rows, right=say.VM_RIGHT)


def _carried(history: RunHistory) -> str:
    rows = say.carried_rows(history)
    return table(say.CARRIED_HEAD, rows) if rows else "None of it was looked at."


def _settings(history: RunHistory, *, folded: bool) -> str:
    if not history.settings:
        return "None was changed."
    shown = [setting for setting in history.settings if not folded or setting.now != "restored"]
    parts = [f"{say.settings_count(history.settings)}."] if folded else []
    if shown:
        parts.append(table(say.SETTING_HEAD, [say.setting_row(setting, history.run) for setting in shown]))
    if len(shown) < len(history.settings):
        parts.append(f"To list them all: lrvmotion report {history.run} --settings")
    return "\n\n".join(parts)


def _relays(history: RunHistory) -> str:
    rows = []
    for relay in dict.fromkeys(sample.relay for sample in history.samples):
        mine = [sample for sample in history.samples if sample.relay == relay]
        rtts = sorted(sample.rtt_ms for sample in mine if sample.rtt_ms is not None)
        again = [sample.retransmits for sample in mine if sample.retransmits is not None]
        limiter = next((sample.limiter for sample in reversed(mine) if sample.bps and sample.limiter), "-")
        rows.append(
            (
                relay, units.rate(max(sample.bps for sample in mine)),
                f"{rtts[len(rtts) // 2]:.1f} ms" if rtts else "-",
                f"{100 * max(again):.2f} %" if again else "-", limiter,
            )
        )  # fmt: skip
    head = ("relay", "highest rate", "median RTT", "peak retransmits", "last limiter")
    return table(head, rows, right={"highest rate", "median RTT", "peak retransmits"})


def _text(given: str) -> str:
    """Return *given* as a cell's text: on one line, and nothing in it is Markdown or HTML."""
    flat = " ".join(given.split())
    for mark in ("\\", "|", "`", "*", "<", "["):
        flat = flat.replace(mark, "\\" + mark)
    return flat
