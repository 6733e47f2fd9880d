"""Events as plain lines on stderr: what is seen off a terminal."""

from __future__ import annotations

from rich.text import Text

from lrvmotion.events import (
    CapChanged,
    Carried,
    Changed,
    Connected,
    Event,
    Found,
    HookRan,
    Interrupted,
    Left,
    Message,
    Move,
    PathMeasured,
    Proven,
    Rebooting,
    RelaySample,
    RestoreStarted,
    RunStarted,
    Waiting,
    WindowChanged,
)  # fmt: skip
from lrvmotion.findings import Finding
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.model.setting import ABSENT
from lrvmotion.model.target_id import without_site
from lrvmotion.views.text import console, streams, units, words


class Lines:
    """An observer that prints a line per event; with *quiet* nothing at all."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._running = False  # before a run has started the plan shows what was found
        self._console = console.err()
        self._states: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        """Print *event* where it is worth a line; OSError once stderr is lost."""
        if not self._quiet and (line := self.line(event)) is not None:
            self.say(line)
            streams.check(self._console.file)

    def say(self, line: str) -> None:
        """Print *line*; never raises."""
        if not self._quiet:
            console.hang(self._console, Text(), Text(line))

    def line(self, event: Event) -> str | None:
        """Return *event* in a line, None where it is not worth one."""
        match event:
            case Message(text=text):
                return text
            case Connected(site=site, address=address, version=version):
                return f"{site}: {address}, {version}"
            case PathMeasured(reason=None):
                return measured(event)  # what could not be measured is a finding, and shown with the plan
            case Found(finding=finding):
                return found(finding) if self._running else None
            case RunStarted(run=run, mode=mode, journal=journal, log=log):
                self._running = True
                return f"run {run}, mode {mode}; journal {journal}{f'; log {log}' if log else ''}"
            case RestoreStarted(outstanding=left, log=log):
                return f"restoring {words.count(left, 'setting')}{f'; log {log}' if log else ''}"
            case Changed():
                verb = "set" if event.how == "applied" else "restored"
                gone = event.how == "reverted" and event.value == str(ABSENT)
                verb, value = ("removed", "") if gone else (verb, f": {short(event.value)}")
                count = f"[{event.done:>{len(str(event.total))}}/{event.total}]"
                return f"{count} {event.target}: {words.setting(event.key)} {verb}{value}"
            case Left():
                return f"LEFT {event.target}: {words.setting(event.key)}: {event.reason}"
            case Proven():
                word = {True: "proven", False: "NOT proven", None: "not provable"}[event.ok]
                return f"{word}: {event.subject}: {event.detail}"
            case Move():
                return self._move(event)
            case Waiting(subject=subject, reason=reason):
                return f"waiting for {subject}: {reason}"
            case Rebooting(host=host, phase=phase):
                return f"{host}: {words.reboot(phase)}"
            case WindowChanged(is_open=is_open, until=until):
                return words.window(is_open, until)
            case CapChanged(relay=name, bps=bps):
                return f"relay {name}: {'no cap' if bps is None else 'cap ' + units.rate(bps)}"
            case HookRan() | Carried():
                return failing(event)
            case Interrupted():
                return interrupted(event)
            case _:
                return None

    def _move(self, move: Move) -> str | None:
        before = self._states.get(move.vm)
        self._states[move.vm] = move.state
        if before == move.state or (
            before is None and move.state == MigrationState.QUEUED
        ):  # that a VM is in the plan is no news
            return None
        where = f"{move.source_host} -> {move.target_host}"
        text = f"{move.vm}: {words.state(move.state)}, {where}"
        if move.attempts > 1:
            text += f", attempt {move.attempts}"
        if move.state == MigrationState.WAITING:
            text += f", next attempt in {units.clock(move.wait_s)}"
        if move.state == MigrationState.SUCCESS:
            text += f", {units.duration(move.elapsed_s)}"
        if move.reason:
            text += f": {move.reason}"
        return text + (f" (hint: {move.hint})" if move.hint else "")


def measured(event: PathMeasured) -> str:
    """Return a measured pair in one line."""
    pair = f"{without_site(event.source)} -> {without_site(event.target)}"
    rtt = "RTT -" if event.rtt_ms is None else f"RTT {event.rtt_ms:.1f} ms"
    loss = "" if event.loss is None else f", loss {event.loss:.1%} of {event.sent} pings"
    return f"{pair}: {rtt}{loss}"


def found(finding: Finding) -> str:
    """Return a finding in one line, with its code."""
    return f"{finding.severity}: {finding.subject}: {finding.summary}  [{finding.code}]"


def failing(event: HookRan | Carried) -> str | None:
    """Return what a hook that failed, or what a VM was not given back, is about; None where all is well."""
    if isinstance(event, HookRan):
        if event.status == 0:
            return None
        how = "did not end" if event.status is None else f"ended with {event.status}"
        return f"hook {event.point} of {event.subject} {how}{f': {event.detail}' if event.detail else ''}"
    if event.carried:
        return None
    how = "not looked at" if event.carried is None else "not carried over"
    return f"{event.vm}: {event.kind} {event.name} {how}{f': {event.reason}' if event.reason else ''}"


def interrupted(event: Interrupted) -> str:
    """Return what a Ctrl-C means."""
    level = event.level
    if event.doing == "changing":
        return "interrupted: no VM is moved, and what was changed is restored; Ctrl-C again leaves the rest changed"
    if event.doing == "restoring":
        return "interrupted: no more settings are restored"
    if level == 1:
        return "interrupted: no more VMs are started; Ctrl-C again cancels the running moves"
    if level == 2:
        return "interrupted twice: cancelling the running moves; Ctrl-C again leaves them to vCenter"
    return "interrupted three times: moves that still run are left to vCenter"


def relay(sample: RelaySample) -> str:
    """Return a relay's counters in one line."""
    rtt = "-" if sample.rtt_ms is None else f"{sample.rtt_ms:.0f} ms"
    again = "-" if sample.retransmits is None else f"{sample.retransmits:.1%}"
    streams = words.count(sample.streams, "stream")
    return f"relay {sample.relay}: {streams}, {units.rate(sample.bps)}, RTT {rtt}, retransmitted {again}"


def short(text: str, most: int = 60) -> str:
    """Return *text* on one line of at most *most* characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
