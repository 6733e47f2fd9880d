"""What the journal records: one frozen dataclass for each kind of record, to JSON and back; pure."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Self, TypeVar

from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import ConnectionId, TargetId, TextId
from lrvmotion.model.vm.vm_metadata import VmMetadata

SCHEMA = 2  # 1 had other names for some keys (Body.FORMERLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a record says. Its JSON has no field that is as its default; `schema` where the kind names it.

    *KIND* is the record's kind in the journal, *FORMERLY* what a key of schema 1 is called now.
    """

    KIND: ClassVar[str] = ""
    FORMERLY: ClassVar[Mapping[str, str]] = {}
    NAMES_SCHEMA: ClassVar[bool] = False

    @property
    def kind(self) -> str:
        """The record's kind in the journal."""
        return self.KIND

    def to_json(self) -> dict[str, Any]:
        """Return the body as the journal has it."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        usual = _defaults(self.KIND)
        said = {name: _plain(value) for name, value in given.items() if value != usual.get(name, MISSING)}
        return {"schema": SCHEMA, **said} if self.NAMES_SCHEMA else said

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Self:
        """Read what *to_json* wrote, of this schema or an older one; ValueError, KeyError or TypeError for another.

        Fields that this version does not know are left out.
        """
        given = {cls.FORMERLY.get(name, name): value for name, value in written.items()}
        return cls(**{name: read(given[name]) for name, read in _readers(cls.KIND).items() if name in given})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBegun(Body):
    """A run begins, or is resumed: *vms* are to be moved, in the queue's order; *back*: by --reverse.

    *owner_id* is the id that what it makes carries ("": its own). *who* ran it ("ada@desk"), with which *accounts*
    ("ops at vc-a"), by the connection's name.
    """

    KIND: ClassVar[str] = "run"
    FORMERLY: ClassVar[Mapping[str, str]] = {"mark": "owner_id"}
    NAMES_SCHEMA: ClassVar[bool] = True

    mode: str
    vms: tuple[str, ...]
    owner_id: str = ""
    back: bool = False
    who: str = ""
    accounts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan(Body):
    """The plan of a run, as a plan file has it (plan_file.text)."""

    KIND: ClassVar[str] = "plan"

    plan: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection(Body):
    """How a vCenter ("source", "target") or relay host ("relay/NAME") is reached, and what it is told by; no secret.

    *secret* is the name under which its password is kept, "": its own. A vCenter has *sha256* or *pem* (its
    certificate), *instance_uuid* and *service_url*, a relay host *key_file*, *host_key* and *known_hosts*.
    """

    KIND: ClassVar[str] = "connection"

    name: ConnectionId
    host: str
    port: int
    username: str
    password_file: str | None = None
    secret: str = ""
    sha256: str | None = None
    pem: str | None = None
    instance_uuid: str | None = None
    service_url: str | None = None
    key_file: str | None = None
    host_key: str | None = None
    known_hosts: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """Host and port, "vc-a:443"."""
        return f"{self.host}:{self.port}"

    @property
    def account(self) -> str:
        """Who logs in where, "ops at vc-a"."""
        return f"{self.username} at {self.host}"

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Self:
        """Read a connection; journals had a single file of known hosts."""
        known = written.get("known_hosts")
        files = [known] if isinstance(known, str) else known or []
        return super(Connection, cls).from_json({**written, "known_hosts": files})


@dataclass(frozen=True, slots=True, kw_only=True)
class Intended(Body):
    """A setting is about to be changed. *reboot*: that takes effect at the host's next one."""

    KIND: ClassVar[str] = "intended"

    target: TargetId
    key: SettingKey
    prior: Value
    planned: Value
    reason: str = ""
    reboot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied(Body):
    """A setting was written and read back."""

    KIND: ClassVar[str] = "applied"

    target: TargetId
    key: SettingKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverted(Body):
    """A setting is *value* again, as before it was changed, read back.

    *gone*: the VM that had it has left this vCenter, and *value* is what it was before; nothing was written.
    """

    KIND: ClassVar[str] = "reverted"

    target: TargetId
    key: SettingKey
    value: Value
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveBegun(Body):
    """A VM's relocate is about to be asked for, for the *attempt*-th time (0: not recorded).

    *source_ref* is its reference at the source. *metadata* is what does not follow it; None: that was not read.
    """

    KIND: ClassVar[str] = "move"
    FORMERLY: ClassVar[Mapping[str, str]] = {"try": "attempt", "baggage": "metadata"}

    vm: str
    source_host: str
    target_host: str
    instance_uuid: str = ""
    source_ref: str = ""
    attempt: int = 0
    metadata: VmMetadata | None = None

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Self:
        """Read a move; in schema 1 what was not read is an empty object."""
        return super(MoveBegun, cls).from_json(
            {name: value for name, value in written.items() if not (name == "baggage" and value == {})}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveTask(Body):
    """A VM's relocate is the *task* of this id."""

    KIND: ClassVar[str] = "task"

    vm: str
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveEnded(Body):
    """A VM's migration ended: *state* is "success", "error", "cancelled" or "held"."""

    KIND: ClassVar[str] = "moved"

    vm: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataWrite(Body):
    """Something that did not follow a VM is about to be given to it at the *target* ("target/VM"): its kind/name."""

    KIND: ClassVar[str] = "carry"

    target: str
    vm: str
    key: str
    planned: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAsked(Body):
    """A relocate is about to be cancelled: a *vm*'s, or all that are *running* on the host *target*."""

    KIND: ClassVar[str] = "cancel"

    vm: str = ""
    target: TargetId | None = None
    running: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RebootStep(Body):
    """A host's rolling reboot comes to *phase* (events.Rebooting); *vms* are moved back to it."""

    KIND: ClassVar[str] = "reboot"

    host: TargetId
    phase: str
    vms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CapChange(Body):
    """The cap of the relay host *target* is about to be *planned* bit/s by the timetable, None: none."""

    KIND: ClassVar[str] = "cap"

    target: TargetId
    planned: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled(Body):
    """The cap of the relay host *target* is about to be changed by hand from *prior* to *planned* bit/s, None: none."""

    KIND: ClassVar[str] = "throttle"
    NAMES_SCHEMA: ClassVar[bool] = True

    target: TargetId
    prior: int | None
    planned: int | None
    who: str = ""
    accounts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreBegun(Body):
    """Settings are restored: *who* does it, with which *accounts* (RunBegun)."""

    KIND: ClassVar[str] = "restore"
    NAMES_SCHEMA: ClassVar[bool] = True

    who: str = ""
    accounts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Other(Body):
    """A record of a kind that this version does not know: nothing rests on it."""

    name: str
    content: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The record's kind in the journal."""
        return self.name

    def to_json(self) -> dict[str, Any]:
        """Return the body as the journal has it."""
        return dict(self.content)


KINDS: dict[str, type[Body]] = {
    kind.KIND: kind
    for kind in (
        RunBegun, RunPlan, Connection, Intended, Applied, Reverted, MoveBegun, MoveTask, MoveEnded, MetadataWrite,
        CancelAsked, RebootStep, CapChange, Throttled, RestoreBegun,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of the journal: what *run* did, or was about to do, *at* (ISO 8601, UTC).

    *written* is the body as the line has it, whatever its schema; *hash* covers it, and chains it to the line before.
    """

    seq: int
    at: str
    run: str
    body: Body
    written: Mapping[str, Any]
    hash: str

    @property
    def kind(self) -> str:
        """What kind of record it is: "run", "intended" …."""
        return self.body.kind


B = TypeVar("B", bound=Body)


def of(kind: type[B], records: Iterable[Record]) -> Iterator[tuple[Record, B]]:
    """Yield those of *records* that are of *kind*, each with its body."""
    return ((record, record.body) for record in records if isinstance(record.body, kind))


def body(kind: str, written: Mapping[str, Any]) -> Body:
    """Return what a record of *kind* says; ValueError, KeyError or TypeError where no version wrote it so."""
    known = KINDS.get(kind)
    return Other(name=kind, content=written) if known is None else known.from_json(written)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any field
    """Return a field's value as JSON has it."""
    if isinstance(value, Value | VmMetadata):
        return value.to_json()
    if isinstance(value, TextId):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


@cache
def _defaults(kind: str) -> Mapping[str, Any]:
    """Return the default of each field of *kind* that has one."""
    of_kind = fields(KINDS[kind])
    made = {item.name: item.default_factory() for item in of_kind if item.default_factory is not MISSING}
    return {**made, **{item.name: item.default for item in of_kind if item.default is not MISSING}}


@cache
def _readers(kind: str) -> Mapping[str, Callable[[Any], Any]]:
    """Return what reads each field of *kind* from JSON."""
    hints = typing.get_type_hints(KINDS[kind])
    return {item.name: _reader(hints[item.name]) for item in fields(KINDS[kind])}


def _reader(hint: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - any type
    """Return what reads a value of the type *hint*, and of exactly that: True is no number."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return lambda value: value
    if hint in {Value, VmMetadata}:
        return lambda value: hint.from_json(_exactly(dict, value))
    if isinstance(hint, type) and issubclass(hint, TextId):
        return lambda value: hint(_exactly(str, value))
    if origin is types.UnionType:
        some = _reader(inner[0])
        return lambda value: None if value is None else some(value)
    if origin is tuple:
        item = _reader(inner[0])
        return lambda value: tuple(item(one) for one in _exactly(list, value))
    if origin is Mapping:
        item = _reader(inner[1])
        return lambda value: {name: item(one) for name, one in _exactly(dict, value).items()}
    return lambda value: _exactly(hint, value)


def _exactly(kind: type, value: Any) -> Any:  # noqa: ANN401 - any JSON
    if type(value) is not kind:
        message = f"{value!r} is no {kind.__name__}"
        raise TypeError(message)
    return value
