"""What the prechecks of VMs know besides the VMs themselves: the target's VMs, hardware, keys; the source's rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lrvmotion.model.inventory import MoRef


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetConflicts:
    """What VMs of the target already have, as far as it meets the plan's own: each value names the VM that has it.

    *names* is by (folder, name), *macs* by MAC in lower case; *macs* None: not read.
    """

    names: Mapping[tuple[MoRef, str], str] = field(default_factory=dict)
    instance_uuids: Mapping[str, str] = field(default_factory=dict)
    bios_uuids: Mapping[str, str] = field(default_factory=dict)
    macs: Mapping[str, str] | None = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterBindings:
    """What a cluster of the source knows of one VM: *rules* and *groups* by name, *overrides* in words."""

    rules: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecheckContext:
    """Everything read for the prechecks; None means not read.

    *hardware*: by host of the target, the virtual hardware versions that it runs (a host that is not there was not
    read); *providers*: the key providers of the target; *bindings*: by VM; *attributes*: the custom attributes'
    names by key.
    """

    taken: TargetConflicts | None = None
    hardware: Mapping[MoRef, frozenset[str]] = field(default_factory=dict)
    providers: frozenset[str] | None = None
    bindings: Mapping[MoRef, ClusterBindings] | None = None
    attributes: Mapping[int, str] = field(default_factory=dict)
