"""A VM as it is at the target after its move: power, host, where its disks are and what its network cards are on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedNic:
    """A network card: what its backing names, one of the three; *mac* in lower case, "" where it has none."""

    key: int
    label: str
    mac: str
    portgroup_key: str | None = None
    network_name: str | None = None
    opaque: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedVm:
    """The VM as vCenter tells: *host* is its id, "" where that is not told, *disks* are (label, datastore's id)."""

    power_state: str
    connection_state: str
    host: str
    disks: tuple[tuple[str, str], ...] = ()
    nics: tuple[ArrivedNic, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LateGuest:
    """A VM whose VMware Tools, and whose address where it *had_address*, are not back *limit_s* s after its move."""

    vm: str
    had_address: bool
    limit_s: float
