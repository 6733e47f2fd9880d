"""What `check` found: by subject, errors first, each with its hint; or one JSON document. And how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lrvmotion.findings import Finding, Severity, together
from lrvmotion.model.path_quality import Frames, PathQuality
from lrvmotion.model.target_id import without_site
from lrvmotion.views.plan.plan import MARKS, finding_json
from lrvmotion.views.text import console, words
from lrvmotion.views.text.words import first_few

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SCHEMA = 1
LINE_S = 10.0  # off a terminal a line that often at most
_ORDER = list(Severity)


class Steps:
    """How far a check is: a bar on stderr on a terminal, plain lines off it, nothing where *quiet*.

    *doing* is the word for it: "checking hosts".
    """

    def __init__(self, *, quiet: bool, doing: str = "checking") -> None:
        self._quiet = quiet
        self._doing = doing
        self._console = console.err()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._what = ""
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that *done* of *total* of *what* is done; total 1: only that it began."""
        if self._quiet:
            return
        if console.live(self._console):
            self._draw(what, done, total)
            return
        fresh, now = what != self._what, time.monotonic()
        if fresh or (total > 1 and (done == total or now - self._last >= LINE_S)):
            self._what, self._last = what, now
            self._console.print(f"{self._doing} {what}" + (f": {done} of {total}" if total > 1 else ""))

    def _draw(self, what: str, done: int, total: int) -> None:
        if self._bar is None or self._task is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task(what, total=total)
        if what != self._what:
            self._what = what
            self._bar.reset(self._task, description=f"{self._doing} {what}", total=total if total > 1 else None)
        self._bar.update(self._task, completed=done)


def show(
    findings: Sequence[Finding], path: Sequence[PathQuality], frames: Sequence[Frames], summary: Sequence[str]
) -> None:
    """Print the measured pairs, the findings by subject, and a last line with their numbers."""
    to = console.out()
    for line in summary:
        console.hang(to, Text(), Text(line, style="dim"))
    if path:
        to.print()
        to.print(_pairs(path, frames))
    for subject, own in _by_subject(findings):
        to.print()
        to.print(Text(subject, style="bold"), soft_wrap=not to.is_terminal)
        for finding in own:
            _one(to, finding)
    to.print()
    to.print(Text(closing(findings), style="bold"))


def seen(
    sites: Mapping[str, Mapping[str, Any]], hosts: Sequence[Mapping[str, Any]], relay_hosts: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return a line for each vCenter, host and relay host that was looked at."""
    reach = {True: ", reaches the other one", False: ", does not reach the other one", None: ""}
    lines = [
        f"{site} vCenter {about['vcenter']}: {about['version']} build {about['build']}, API {about['api']}, "
        f"clock {about['clock_ahead_s']:+.1f} s{reach[about.get('reaches_other')]}"
        for site, about in sites.items()
    ]
    for host in hosts:
        nics = ", ".join(
            f"{nic['device']} {nic['address']} MTU {nic['mtu']} on {nic['netstack']}" for nic in host["vmknics"]
        )
        lines.append(f"{host['host']}: {host['version']} build {host['build']}; vMotion: {nics or 'none'}")
    for relay in relay_hosts:
        if relay["reachable"]:
            speed = "" if relay["speed_mbps"] is None else f" at {relay['speed_mbps']} Mbit/s"
            lines.append(
                f"{relay['relay_host']}: Linux {relay['kernel']}, {words.count(relay['cores'], 'core')}, "
                f"{relay['interface']}{speed}, "
                f"{relay['filter']}, BBR {'yes' if relay['bbr'] else 'no'}, splice {'yes' if relay['splice'] else 'no'}"
            )
    return lines


def closing(findings: Iterable[Finding]) -> str:
    """Return the numbers of findings by severity in one line."""
    counts = dict.fromkeys(_ORDER, 0)
    for finding in findings:
        counts[finding.severity] += 1
    errors, warnings, notes = (counts[severity] for severity in _ORDER)
    text = f"{words.count(errors, 'error')}, {words.count(warnings, 'warning')}, {words.count(notes, 'note')}"
    return text + ("" if errors else ": ready to plan")


def document(
    findings: Sequence[Finding], path: Sequence[PathQuality], frames: Sequence[Frames], **looked: object
) -> dict[str, Any]:
    """Return everything as one JSON object; *looked*: what was seen of sites, hosts and relay hosts."""
    return {
        "schema": SCHEMA,
        "findings": [finding_json(finding) for finding in sorted(findings, key=_rank)],
        "path": [_pair_json(quality) for quality in path],
        "frames": [asdict(one) for one in frames],
        **looked,
    }


def _pair_json(quality: PathQuality) -> dict[str, Any]:
    interval = quality.loss_interval
    return {**asdict(quality), "loss": quality.loss, "loss_95": None if interval is None else list(interval)}


def _rank(finding: Finding) -> int:
    return _ORDER.index(finding.severity)


def _by_subject(findings: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    """Return findings by subject, errors first; one that holds of many subjects stands under them together."""
    groups: dict[str, list[Finding]] = {}
    for finding, subjects in together(findings).items():
        groups.setdefault(first_few(subjects), []).append(finding)
    ordered = [(subject, sorted(own, key=_rank)) for subject, own in groups.items()]
    return sorted(ordered, key=lambda group: _rank(group[1][0]))


def _one(to: Console, finding: Finding) -> None:
    text = Text(f"{finding.severity}: ", style=MARKS[finding.severity])
    text.append(finding.summary, style="not bold not dim").append(f"  [{finding.code}]", style="not bold dim")
    console.hang(to, Text("  "), text)
    if finding.hint:
        console.hang(to, Text("    "), Text(f"hint: {finding.hint}", style="dim"))


def _pairs(path: Sequence[PathQuality], frames: Sequence[Frames]) -> Table:
    largest: dict[tuple[str, str], str] = {}
    for one in frames:
        size = "9000" if one.jumbo == "passed" else "1500" if one.full == "passed" else "-"
        largest[one.source, one.target] = size
    table = Table(box=None, header_style="dim", padding=(0, 1), pad_edge=False)
    for name in ("from", "to", "pings", "RTT", "jitter", "loss (95 %)", "MTU"):
        table.add_column(name, justify="left" if name in {"from", "to"} else "right", overflow="fold")
    for quality in path:
        interval = quality.loss_interval
        loss = "-" if interval is None else f"{quality.loss:.2%} ({interval[0]:.2%} to {interval[1]:.2%})"
        table.add_row(
            Text(without_site(quality.source)), Text(without_site(quality.target)), str(quality.sent),
            _ms(quality.rtt_ms), _ms(quality.jitter_ms), loss, largest.get((quality.source, quality.target), "-"),
        )  # fmt: skip
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
