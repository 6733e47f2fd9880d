"""Everything that can happen in a run, as frozen records, and the Observer they go to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol

from lrvmotion.findings import Finding
from lrvmotion.model.migration_state import MigrationState

SCHEMA = "2.1"  # of the records that to_json makes: a minor version only adds (docs/ndjson.md)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The base of all events; a view matches on the class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Event):
    """A sentence for the user; nothing else depends on it."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run has its id, mode and journal; *forecast_s* is how long the whole queue should take, None: not known.

    *log* is the text of all that follows, in a file, whatever becomes of the screen. *refused* VMs were chosen, and
    --skip-refused left them out.
    """

    run: str
    mode: str
    journal: str
    vms: tuple[str, ...]
    forecast_s: float | None = None
    log: str | None = None
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(Event):
    """A vCenter or a box answered and was trusted. *site*: "source", "target" or "relay/NAME"."""

    site: str
    address: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PathMeasured(Event):
    """One pair was probed; None means not measured, and *reason* says why."""

    source: str
    target: str
    sent: int
    received: int
    rtt_ms: float | None
    jitter_ms: float | None
    loss: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Event):
    """A check found something."""

    finding: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed(Event):
    """A setting was written and read back (*how*: "applied" or "reverted").

    "departed": the VM that had it has left this vCenter; *value* is what it had before.
    """

    how: Literal["applied", "reverted", "departed"]
    target: str
    key: str
    prior: str
    value: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Left(Event):
    """A setting was not restored; *reason* says who is in the way."""

    target: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven(Event):
    """The proof before the first move, one line of it."""

    subject: str
    ok: bool | None  # None: not possible
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySample(Event):
    """What the relay counted: live streams, bit/s to the WAN, RTT and share of segments retransmitted, and the verdict.

    *cap_bps* is the cap that holds at it, None: none.
    """

    relay: str
    streams: int
    bps: float
    rtt_ms: float | None
    retransmits: float | None
    limiter: str
    bytes: int
    cap_bps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Move(Event):
    """A VM's migration changed state or progressed; *percent* never falls.

    *bytes_total* is what it carries, *cold_bytes* of it by NFC; *attempts* counts its relocates, *wave* begins with 1.
    WAITING: the last attempt failed, and the next is due in *wait_s* seconds. *queued*: vCenter has not begun the task.
    *vm* is what the run calls it; *instance_uuid* and *source_ref* ("VirtualMachine:vm-42") are what it is told by.
    """

    vm: str
    state: MigrationState
    source_host: str
    target_host: str
    percent: int = 0
    bytes_total: int = 0
    cold_bytes: int = 0
    elapsed_s: float = 0.0
    wave: int = 1
    attempts: int = 0
    wait_s: float = 0.0
    queued: bool = False
    reason: str | None = None
    hint: str | None = None
    instance_uuid: str = ""
    source_ref: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", MigrationState(self.state))  # a kept event has it as text


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming(Event):
    """The VMs that start next, in order, as far as that can be told."""

    vms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried(Event):
    """What does not follow a VM by itself, after its move: *kind* ("tag", "note" …) and *name*; None: not looked.

    *instance_uuid* and *source_ref* as in Move.
    """

    vm: str
    kind: str
    name: str
    carried: bool | None
    reason: str | None = None
    instance_uuid: str = ""
    source_ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRan(Event):
    """A hook ran at a *point* ("before_vm" …) for *subject*; *status* None: it did not run or did not end."""

    point: str
    subject: str
    status: int | None
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowChanged(Event):
    """The maintenance window opened or closed; *until* is when that changes again (ISO 8601), None: never."""

    is_open: bool
    until: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CapChanged(Event):
    """A near relay's cap is *bps* now, None: none."""

    relay: str
    bps: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebooting(Event):
    """A host's rolling reboot came to *phase* ("maintenance", "reboot", "back", "home", "verified")."""

    host: str
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Event):
    """Something is waited for: a running relocate on a host, a drain."""

    subject: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted(Event):
    """Ctrl-C, SIGTERM or SIGHUP while a run was *doing* something.

    "moving": *level* 1 starts nothing more, 2 cancels what runs, 3 leaves it to the vCenter. "changing": no VM is
    moved, and what was changed is restored. "restoring": the setting in hand was the last one.
    """

    level: int
    doing: Literal["changing", "moving", "restoring"] = "moving"


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(Event):
    """The command failed: one sentence, a hint, the exit status."""

    message: str
    hint: str | None
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """The run is over, however it ended: its last event.

    *outstanding* settings remain changed, and *restore* is the command that restores them; *left* VMs have not
    moved, and *resume* is the command that goes on with them. None: there is nothing for it to do.
    """

    run: str
    outstanding: int
    restore: str | None = None
    left: tuple[str, ...] = ()
    resume: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreStarted(Event):
    """Of *outstanding* settings each is restored now; *run* names the restore in the *journal*, *log* as in a run."""

    run: str
    outstanding: int
    journal: str
    log: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreEnded(Event):
    """A restore-defaults is over: *restored* settings are as before, *outstanding* are not, by *restore* next time."""

    restored: int
    outstanding: int
    restore: str | None = None


class Observer(Protocol):
    """Whoever wants to know: a screen, a file, a test's list."""

    def __call__(self, event: Event) -> None:
        """Take one event; must not raise."""


def name_of(event: Event) -> str:
    """Return the event's type in NDJSON: MoveEnded -> "move_ended"."""
    return _name(type(event))


def _name(kind: type[Event]) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).lstrip("_")


def to_json(event: Event) -> dict[str, Any]:
    """Return the event as a JSON object, its type first."""
    record: dict[str, Any] = {"type": name_of(event)}
    for item in fields(event):
        value = getattr(event, item.name)
        if isinstance(value, Finding):
            value = {f.name: getattr(value, f.name) for f in fields(value)}
        record[item.name] = list(value) if isinstance(value, tuple) else value
    return record


def from_json(record: Mapping[str, Any]) -> Event | None:
    """Return the event that *to_json* made *record* of; None for a type that this version does not know.

    Fields that it does not know are left out, those that had another name in an older one are taken by it; TypeError or
    ValueError where one is missing or wrong.
    """
    kind = _KINDS.get(str(record["type"]))
    if kind is None:
        return None
    record = {_FORMERLY.get((kind, name), name): value for name, value in record.items()}
    given: dict[str, Any] = {}
    for item in fields(kind):
        if item.name in record:
            value = record[item.name]
            if item.name == "finding":
                value = Finding.from_json(value)
            given[item.name] = tuple(value) if isinstance(value, list) else value
    return kind(**given)


_FORMERLY: dict[tuple[type[Event], str], str] = {
    (Move, "tries"): "attempts"
}  # what a field was called before schema 2.0
_KINDS = {_name(kind): kind for kind in list(globals().values()) if isinstance(kind, type) and issubclass(kind, Event)}
