"""The words of each event in one line, the same on the live screen, in plain lines, the log and the report; pure."""

from __future__ import annotations

from lrvmotion.events import (
    CapChanged,
    Carried,
    Changed,
    Connected,
    Error,
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
)
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.model.setting import ABSENT
from lrvmotion.model.target_id import without_site
from lrvmotion.views.text import units, words


def wording(event: Event) -> str | None:
    """Return *event* in one line; None for what has no words of its own: the end of a run, the VMs that are next."""
    match event:
        case Message(text=text):
            return text
        case Error(message=message):
            return message
        case Connected(site=site, address=address, version=version):
            return f"{site}: {address}, {version}"
        case PathMeasured():
            return _measured(event)
        case Found(finding=finding):
            return f"{finding.severity}: {finding.subject}: {finding.summary}  [{finding.code}]"
        case RunStarted(run=run, mode=mode, journal=journal, log=log):
            return f"run {run}, mode {mode}; journal {journal}{f'; log {log}' if log else ''}"
        case RestoreStarted(outstanding=left, log=log):
            return f"restoring {words.count(left, 'setting')}{f'; log {log}' if log else ''}"
        case Changed():
            return _changed(event)
        case Left(target=target, key=key, reason=reason):
            return f"NOT restored: {target}: {words.setting(key)}: {reason}"
        case Proven(subject=subject, ok=ok, detail=detail):
            word = {True: "proven", False: "NOT proven", None: "not provable"}[ok]
            return f"{word}: {subject}: {detail}"
        case RelaySample():
            return _sampled(event)
        case Move():
            return _moved(event)
        case Waiting(subject=subject, reason=reason):
            return f"waiting for {subject}: {reason}"
        case Rebooting(host=host, phase=phase):
            return f"{host}: {words.reboot(phase)}"
        case WindowChanged(is_open=is_open, until=until):
            return words.window(is_open, until)
        case CapChanged(relay=relay, bps=bps):
            return f"relay {relay}: {words.cap(bps)}"
        case HookRan(point=point, subject=subject, status=status, detail=detail):
            how = "succeeded" if status == 0 else "failed" if status is None else f"failed with exit status {status}"
            return f"hook {point} of {subject} {how}{f': {detail}' if detail else ''}"
        case Carried(vm=vm, kind=kind, name=name, carried=carried, reason=reason):
            how = {True: "carried over", False: "not carried over", None: "not looked at"}[carried]
            return f"{vm}: {kind} {name} {how}{f': {reason}' if reason else ''}"
        case Interrupted():
            return _interrupted(event)
        case _:
            return None


def next_interrupt(event: Interrupted) -> str | None:
    """Return what one more Ctrl-C does after *event*, for whoever can still press it; None: nothing further."""
    if event.doing == "changing":
        return "Ctrl-C again leaves the rest changed"
    if event.doing == "moving" and event.level == 1:
        return "Ctrl-C again cancels the running moves"
    if event.doing == "moving" and event.level == 2:
        return "Ctrl-C again leaves them to vCenter"
    return None


def short(text: str, most: int = 60) -> str:
    """Return *text* on one line of at most *most* characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _measured(event: PathMeasured) -> str:
    pair = f"{without_site(event.source)} -> {without_site(event.target)}"
    if event.reason is not None:
        return f"{pair}: not measured: {event.reason}"
    rtt = "RTT -" if event.rtt_ms is None else f"RTT {event.rtt_ms:.1f} ms"
    loss = "" if event.loss is None else f", loss {event.loss:.1%} of {event.sent} pings"
    return f"{pair}: {rtt}{loss}"


def _changed(event: Changed) -> str:
    verb, value = "set" if event.how == "applied" else "restored", f": {short(event.value)}"
    if event.how == "departed":
        verb, value = "left with its VM", f"; it was {short(event.value)}"
    if event.how == "reverted" and event.value == str(ABSENT):
        verb, value = "removed", ""
    count = f"[{event.done:>{len(str(event.total))}}/{event.total}]"
    return f"{count} {event.target}: {words.setting(event.key)} {verb}{value}"


def _moved(move: Move) -> str:
    text = f"{move.vm}: {words.state(move.state)}, {move.source_host} -> {move.target_host}"
    if move.attempts > 1:
        text += f", attempt {move.attempts}"
    if move.state == MigrationState.WAITING:
        text += f", next attempt in {units.clock(move.wait_s)}"
    if move.state == MigrationState.SUCCESS:
        text += f", {units.duration(move.elapsed_s)}"
    if move.reason:
        text += f": {move.reason}"
    return text + (f" (hint: {move.hint})" if move.hint else "")


def _sampled(sample: RelaySample) -> str:
    rtt = "-" if sample.rtt_ms is None else f"{sample.rtt_ms:.0f} ms"
    again = "-" if sample.retransmits is None else f"{sample.retransmits:.1%}"
    streams = words.count(sample.streams, "stream")
    return f"relay {sample.relay}: {streams}, {units.rate(sample.bps)}, RTT {rtt}, retransmitted {again}"


def _interrupted(event: Interrupted) -> str:
    if event.doing == "changing":
        return "interrupted: no VM is moved, and what was changed is restored"
    if event.doing == "restoring":
        return "interrupted: no more settings are restored"
    if event.level == 1:
        return "interrupted: no more VMs are started"
    if event.level == 2:
        return "interrupted twice: the running moves are cancelled"
    return "interrupted three times: moves that still run are left to vCenter"
