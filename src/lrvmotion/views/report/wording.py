"""What every form of a run's report says: its headline, the lines of each table, times and rates in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lrvmotion.journal.audit_log import Entry
from lrvmotion.journal.chain import Opened
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.report.run_history import RunHistory, Setting, VmHistory
from lrvmotion.views.events.wording import wording
from lrvmotion.views.text import units, words

NOT_MEASURED = "not measured"
VM_HEAD = ("VM", "result", "from", "to", "wave", "attempts", "began", "took", "forecast", "size", "mean rate")
VM_RIGHT = {"wave", "attempts", "began", "took", "forecast", "size", "mean rate"}
VM_SPARED = ("wave", "forecast", "attempts", "began", "size", "mean rate", "from", "to")  # the first first
SETTING_HEAD = ("target", "setting", "before", "during the run", "now")
LEFT_HEAD = ("target", "setting", "why")
CARRIED_HEAD = ("VM", "what", "name", "carried", "why")
FOUND_HEAD = ("VM", "found after its move", "code", "what helps")
AUDIT_HEAD = ("no.", "when (UTC)", "who", "account", "what", "subject", "setting", "prior", "new", "detail")
IMPACT = (
    "How long the guests stood still at switchover is not measured: vCenter does not tell it, and a guest is not asked."
)


def title(history: RunHistory) -> str:
    """Return the report's first line."""
    return f"Run {history.run}, {history.mode} mode" + (", the way back" if history.back else "")


def headline(history: RunHistory) -> str:
    """Return what the run came to in one sentence: "2 of 3 VMs moved, 1 failed"."""
    named = {
        MigrationState.SUCCESS: "moved",
        MigrationState.ERROR: "failed",
        MigrationState.HELD: "held",
        MigrationState.CANCELLED: "cancelled",
    }
    moved = f"{history.count('success')} of {words.count(len(history.vms), 'VM')} moved"
    rest = [f"{history.count(state)} {word}" for state, word in named.items() if state != MigrationState.SUCCESS]
    others = len(history.vms) - history.count(*named)
    rest = [text for text in rest if not text.startswith("0 ")] + ([f"{others} not started"] if others else [])
    return ", ".join([moved, *rest])


def facts(history: RunHistory) -> list[tuple[str, str]]:
    """Return the facts of the run, (name, value)."""
    changed = [setting for setting in history.settings if setting.now == "not restored"]
    rows = [
        ("result", headline(history)),
        ("began", when(history.began)),
        ("ended", when(history.ended) if history.ended else "not seen"),
        ("took", "not known" if history.seconds is None else units.duration(history.seconds)),
        ("forecast", "none" if history.forecast_s is None else units.duration(history.forecast_s)),
        ("moved", units.size(history.bytes)),
        ("settings", f"{len(history.settings)} changed, {len(changed)} not restored"),
        ("run by", history.who or "not recorded"),
        *((f"account, {name}", account) for name, account in sorted(history.accounts.items())),
        *((name, f"{one.address}, {one.version}") for name, one in sorted((c.site, c) for c in history.connected)),
    ]
    if (rate := mean_bps(history)) is not None:
        rows.insert(6, ("mean rate", units.rate(rate)))
    if history.sittings > 1:
        rows.append(("resumed", "once" if history.sittings == 2 else words.count(history.sittings - 1, "time")))
    return rows


def mean_bps(history: RunHistory) -> float | None:
    """Return the rate at which VMs moved, from the first that began to the last that arrived; None where none did."""
    moved = [vm.attempts[-1] for vm in history.vms if vm.state == MigrationState.SUCCESS and vm.attempts]
    if not moved:
        return None
    span = max(one.ended or 0.0 for one in moved) - min(one.began for one in moved)
    return history.bytes * 8 / span if span > 0 else None


def vm_row(vm: VmHistory) -> tuple[str, ...]:
    """Return the line of *vm*, as VM_HEAD has it."""
    began = units.clock(vm.attempts[0].began) if vm.attempts else "-"
    return (
        vm.vm, result(vm.state), vm.source_host or "-", vm.target_host or "-", str(vm.wave),
        str(len(vm.attempts)), began,
        "-" if vm.seconds is None else units.duration(vm.seconds),
        "-" if vm.forecast_s is None else units.duration(vm.forecast_s),
        units.size(vm.bytes) if vm.bytes else "-", "-" if vm.bps is None else units.rate(vm.bps),
    )  # fmt: skip


def result(state: str) -> str:
    """Return how a VM ended, in words."""
    return "not started" if state == MigrationState.QUEUED else words.state(state)


def troubles(history: RunHistory) -> list[tuple[str, str, str, str]]:
    """Return every failed attempt: (VM, when and which attempt, cause, what helps)."""
    rows = []
    for vm in history.vms:
        failed = [
            (number, one)
            for number, one in enumerate(vm.attempts, 1)
            if one.state in {MigrationState.ERROR, MigrationState.CANCELLED}
        ]
        rows += [
            (vm.vm, f"attempt {number}, at {units.clock(one.ended or one.began)}", one.reason or "-", one.hint or "-")
            for number, one in failed
        ]
        if vm.state in {MigrationState.HELD, MigrationState.ERROR} and not failed:
            rows.append((vm.vm, result(vm.state), vm.reason or "-", vm.hint or "-"))
    return rows


def settings_count(settings: Sequence[Setting]) -> str:
    """Return "12 settings on 4 hosts and 1 relay host: 9 restored, 3 not restored"."""
    targets = {setting.target for setting in settings}
    relays = sum(target.is_relay for target in targets)
    named = [(len(targets) - relays, "host"), (relays, "relay host")]
    where = " and ".join(words.count(number, noun) for number, noun in named if number)
    states = Counter(setting.now for setting in settings)
    now = ", ".join(f"{states[state]} {state}" for state in ("restored", "not restored") if states[state])
    return f"{words.count(len(settings), 'setting')} on {where}: {now}"


def left_rows(history: RunHistory) -> list[tuple[str, ...]]:
    """Return a line for each setting that could not be restored, as LEFT_HEAD has it."""
    return [(one.target, words.setting(one.key), one.reason) for one in history.left]


def setting_row(setting: Setting, run: str) -> tuple[str, ...]:
    """Return the line of *setting*, as SETTING_HEAD has it."""
    during = words.value(setting.planned) + ("" if setting.by == run else f" (since run {setting.by})")
    ended = f" {when(setting.ended)}" if setting.ended else ""
    now = f"restored{ended}" if setting.now == "restored" else setting.now
    return (setting.target, words.setting(setting.key), words.value(setting.prior), during, now)


def found_rows(history: RunHistory) -> list[tuple[str, ...]]:
    """Return a line for each finding about a VM after its move, as FOUND_HEAD has it."""
    return [(vm.vm, one.summary, one.code, one.hint or "") for vm in history.vms for one in vm.found]


def carried_rows(history: RunHistory) -> list[tuple[str, ...]]:
    """Return a line for all that does not follow a VM by itself, as CARRIED_HEAD has it."""
    how = {True: "yes", False: "no", None: "not looked"}
    return [
        (vm.vm, one.kind, one.name, how[one.carried], one.reason or "")
        for vm in history.vms
        for one in sorted(vm.carried, key=lambda one: (one.carried is True, one.kind, one.name))
    ]


def diary(history: RunHistory) -> list[tuple[str, str]]:
    """Return what else happened: (how long after the run's start, what)."""
    return [(units.clock(moment.t), str(wording(moment.event))) for moment in history.moments]


def audit_row(entry: Entry) -> tuple[str, ...]:
    """Return the line of *entry*, as AUDIT_HEAD has it."""
    return (
        str(entry.seq), when(entry.at), entry.who, entry.account, entry.what, entry.subject,
        words.setting(entry.key) if entry.key else "", entry.prior or "", entry.new or "", entry.detail,
    )  # fmt: skip


def when(at: str) -> str:
    """Return an ISO 8601 time in UTC for people: "2026-11-23 14:05:07"."""
    return at[:19].replace("T", " ")


def verified(path: str, opened: Opened) -> list[str]:
    """Return what is known of a journal whose chain holds."""
    first, last = opened.records[0], opened.records[-1]
    lines = [f"{path}: {words.count(len(opened.records), 'record')}, each follows from the one before"]
    lines += [f"  {name}: no. {one.seq}, {when(one.at)} UTC" for name, one in (("first", first), ("last", last))]
    lines.append(f"  hash of the last: {last.hash}")
    return lines + (["  its last line is torn: a death in the middle of a write, no alteration"] if opened.torn else [])
