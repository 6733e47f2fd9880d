"""Change, Migration, Plan: what would be done, as data; Value and ABSENT; the diff of actual and desired."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lrvmotion.findings import Finding, errors
from lrvmotion.forecast.estimate import Forecast
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.mode import Mode
from lrvmotion.model.placement import Placement

ValueType = Literal["absent", "bool", "int", "long", "string", "document"]


@dataclass(frozen=True, slots=True)
class Value:
    """A typed value of a setting, compared by (type, data): True is not 1, an int is not a long.

    A document's *data* is canonical JSON text, so that values stay hashable and comparable.
    """

    type: ValueType
    data: bool | int | str | None

    def __str__(self) -> str:
        return "(absent)" if self.type == "absent" else str(self.data)

    def brief(self, most: int = 90) -> str:
        """Return the value for people, on one line of at most *most* characters; a file by its size and hash."""
        if self.type != "document":
            text = " ".join(str(self).split())
        else:
            content = self.as_document()
            if isinstance(content.get("content"), str):
                digest = hashlib.sha256(content["content"].encode()).hexdigest()[:12]
                text = f"{len(content['content'].splitlines())} lines, sha256 {digest}"
            else:
                text = ", ".join(f"{key} {value}" for key, value in content.items() if value not in (None, [], ""))
        return text if len(text) <= most else text[: most - 1] + "…"

    def as_document(self) -> dict[str, Any]:
        """Return the content of a document value; ValueError for any other type."""
        if self.type != "document" or not isinstance(self.data, str):
            message = f"a {self.type} is not a document"
            raise ValueError(message)
        loaded: dict[str, Any] = json.loads(self.data)
        return loaded

    def to_json(self) -> dict[str, Any]:
        """Return the journal's form: {"type": …, "data": …}."""
        return {"type": self.type, "data": self.data}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Value:
        """Read what *to_json* wrote; ValueError, KeyError or TypeError for anything else."""
        value = cls(record["type"], record["data"])
        if type(value.data) is not _DATA[value.type] or (value.type == "document" and not _is_object(value.data)):
            message = f"{value.data!r} is no {value.type}"
            raise ValueError(message)
        return value


_DATA = {"absent": type(None), "bool": bool, "int": int, "long": int, "string": str, "document": str}


def _is_object(data: object) -> bool:
    try:
        return isinstance(json.loads(str(data)), dict)
    except (ValueError, RecursionError):
        return False


ABSENT = Value("absent", None)
Wanted = tuple[str, Value, str]  # a setting's key, the value that it is to have, the reason


def document(**content: Any) -> Value:  # noqa: ANN401 - any JSON
    """Return *content* as a document value in canonical JSON."""
    return Value("document", json.dumps(content, sort_keys=True, separators=(",", ":")))


def string(text: str) -> Value:
    """Return *text* as a string value."""
    return Value("string", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One setting of one target, from *prior* to *planned*, and why.

    *target* is "source/HOST", "target/HOST" or "box/NAME"; *key* as the design lists them ("option/Migrate.…",
    "vmknic/10.88.0.20"). *reboot*: takes effect only after the host's next reboot.
    """

    target: str
    key: str
    prior: Value
    planned: Value
    reason: str
    reboot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """A setting that *run* set to *ours* over *prior*, and somebody else to *now*: it stays so, and is not planned."""

    target: str
    key: str
    prior: Value
    ours: Value
    now: Value
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A setting that is wanted and not changed, and why."""

    target: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One VM and where it goes. *hot_bytes* travel on vMotion (TCP 8000), *cold_bytes* by NFC (TCP 902).

    *wave* and *after* (names of VMs) are when its turn comes (waves.Turn); *source_datastores* and *source_folder* (a
    path) are where it comes from, *vmotion_networks* the port groups that it moves over ("source/…").
    """

    vm: str
    ref: MoRef
    instance_uuid: str
    source_host: str
    placement: Placement
    hot_bytes: int
    cold_bytes: int
    power_state: str
    snapshots: int
    change_version: str = ""
    wave: int = 1
    depends_on: tuple[str, ...] = ()
    source_datastores: tuple[str, ...] = ()
    source_folder: str = ""
    vmotion_networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One pair of vmknics that a probe walks; *new*: the source vmknic exists only once the plan is applied."""

    source_host: str
    source_address: str
    netstack: str
    target_host: str
    target_address: str
    new: bool = False

    def __str__(self) -> str:
        return f"{self.source_host} {self.source_address} -> {self.target_host} {self.target_address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPath:
    """Which vmknics ("vmk1 10.88.0.9", "new 10.88.0.20") carry vMotion and NFC between two hosts.

    *relay* is the near relay that vMotion goes through.
    """

    source_host: str
    target_host: str
    vmotion_from: tuple[str, ...]
    vmotion_to: tuple[str, ...]
    nfc_from: tuple[str, ...]
    nfc_to: tuple[str, ...]
    relay: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a run would do, and what blocks it.

    *mark* is the id that what we create carries: the run's own, or that of the run whose settings are outstanding.
    *paths* are measured before anything is changed, *proofs* walked before the first move; *fresh* are the new vmknic
    addresses with their target ("source/HOST", address); *relays* are the near relays, *far* the far one, by name;
    *through* is which near relay carries which source host (host, relay);
    *streams* and *vmknics* are a migration's at the source; *data_paths* say which vmknics carry the bytes;
    *forecast* how fast each mode would be and how long the VMs take. *theirs* are outstanding settings that somebody
    else has changed: they are left alone.
    """

    run: str
    owner_id: str
    mode: Mode
    changes: tuple[Change, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    migrations: tuple[Migration, ...] = ()
    findings: tuple[Finding, ...] = ()
    paths: tuple[Path, ...] = ()
    proof_paths: tuple[Path, ...] = ()
    new_vmknics: tuple[tuple[str, str], ...] = ()
    relays: tuple[str, ...] = ()
    far: str | None = None
    relay_by_host: tuple[tuple[str, str], ...] = ()
    streams: int = 1
    vmknics: int = 1
    data_paths: tuple[DataPath, ...] = ()
    forecast: Forecast | None = None
    theirs: tuple[Theirs, ...] = ()

    @property
    def applyable(self) -> bool:
        """Whether no finding is an error."""
        return not errors(list(self.findings))


def diff(
    target: str,
    actual: Mapping[str, Value],
    desired: Iterable[Wanted],
    *,
    reboot: frozenset[str] = frozenset(),
) -> list[Change]:
    """Return a change for every *desired* setting that is not what *actual* says, in the given order."""
    return [
        Change(
            target=target,
            key=key,
            prior=actual.get(key, ABSENT),
            planned=planned,
            reason=reason,
            reboot=key in reboot,
        )
        for key, planned, reason in desired
        if actual.get(key, ABSENT) != planned
    ]
