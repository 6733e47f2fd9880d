"""Where one VM goes: host, pool, folder, datastore, and the map of its networks."""

from __future__ import annotations

from dataclasses import dataclass

from lrvmotion.model.inventory import Datastore, Folder, Host, Network, Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class NicMapping:
    """A virtual Ethernet card (device *key*) and the target network it is put on."""

    key: int
    label: str
    source: str
    network: Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """All five that a cross-vCenter RelocateSpec needs besides the service (vsphere.md 3.1), and the networks."""

    host: Host
    pool: Pool
    folder: Folder
    datastore: Datastore
    nics: tuple[NicMapping, ...] = ()
