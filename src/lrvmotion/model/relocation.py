"""What vCenters say of a move: before it CheckRelocate_Task's faults, after it how the VM is at the target."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RelocateFault:
    """A fault of the move of *vm*, in words; *refuses*: it would forbid the move, else it only warns.

    *of_device*: it is about a device that is connected.
    """

    vm: str
    refuses: bool
    cause: str
    hint: str | None
    of_device: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RelocateCheck:
    """The *faults* of all moves, or *no_way*: one of the way between the vCenters, which every move would meet.

    *reason* says why moves were not checked, None where all were.
    """

    faults: tuple[RelocateFault, ...] = ()
    no_way: RelocateFault | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedNic:
    """A network card: what its backing names, one of the three; *mac* in lower case, "" where it has none.

    Whether it is connected, and whether it is when the VM is powered on.
    """

    key: int
    label: str
    mac: str
    portgroup_key: str | None = None
    network_name: str | None = None
    opaque: bool = False
    connected: bool = True
    start_connected: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedVm:
    """The VM as vCenter tells: *host* is its id, "" where that is not told, *disks* are (key, label, datastore's id).

    *home* is the name of the datastore of its .vmx file, None where that is not told.
    """

    power_state: str
    connection_state: str
    host: str
    home: str | None = None
    disks: tuple[tuple[int, str, str], ...] = ()
    nics: tuple[ArrivedNic, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LateGuest:
    """A VM whose VMware Tools, and whose address where it *had_address*, are not back *limit_s* s after its move."""

    vm: str
    had_address: bool
    limit_s: float
