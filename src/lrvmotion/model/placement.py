"""Where one VM goes: host, pool, folder, datastores of its home and its disks, and the map of its networks."""

from __future__ import annotations

from dataclasses import dataclass

from lrvmotion.model.inventory import Datastore, Folder, Host, Network, Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class NicMapping:
    """A virtual Ethernet card (device *key*) and the target network it is put on.

    *source* is the network that it leaves, as it can be typed there; "" where it is on none.
    """

    key: int
    label: str
    source: str
    network: Network


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskMapping:
    """A virtual disk (device *key*) and the target datastore it is put on; *source* is as of NicMapping."""

    key: int
    label: str
    source: str
    datastore: Datastore


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """All five that a cross-vCenter RelocateSpec needs besides the service (vsphere.md 3.1), networks and disks.

    *datastore* is that of the VM's home, its .vmx file, and of every disk that *disks* does not name.
    """

    host: Host
    pool: Pool
    folder: Folder
    datastore: Datastore
    nics: tuple[NicMapping, ...] = ()
    disks: tuple[DiskMapping, ...] = ()

    @property
    def datastores(self) -> tuple[Datastore, ...]:
        """The datastores of home and disks, each once."""
        return tuple(dict.fromkeys((self.datastore, *(disk.datastore for disk in self.disks))))

    def datastore_of(self, label: str) -> Datastore:
        """Return where the disk called *label* is put."""
        return next((disk.datastore for disk in self.disks if disk.label == label), self.datastore)
