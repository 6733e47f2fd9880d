"""What a VM's disks take, by the files that each is made of; pure.

A disk's backing names its chain (VirtualDiskFlatVer2BackingInfo.parent), snapshot or not; layoutEx has the sizes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pyVmomi import vim

_SWAP = frozenset({"swap", "uwswap"})
_MOST_COPIES = 4.0  # vSAN: RAID-1 of three failures

Files = Mapping[int, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The files of one disk: bytes of all of them (*used*) and of those *below* the topmost, None where not told.

    *foreign*: some of them are in a folder that is not the VM's, as those of a linked clone.
    """

    used: int | None
    below: int | None
    links: int = 1
    foreign: bool = False


def capacity(device: vim.vm.device.VirtualDisk) -> int:
    """Return the bytes that the guest sees."""
    size = cast("int | None", device.capacityInBytes)  # pyVmomi's stubs do not know their own "long"
    return int(size or device.capacityInKB * 1024)


def chains(row: Mapping[str, Any], disks: Sequence[vim.vm.device.VirtualDisk]) -> dict[int, Chain]:
    """Return the chain of each of *disks* of the VM that *row* describes, by the disk's key."""
    files: Files = {int(item.key): item for item in row.get("layoutEx.file") or ()}
    units = {int(item.key): item.chain or () for item in row.get("layoutEx.disk") or ()}
    copies = _copies(row, disks, files, units)
    home = _folder(str(row.get("config.files.vmPathName") or ""))
    return {
        int(disk.key): _chain(disk, [_bytes(unit, files) for unit in units.get(int(disk.key), ())], home, copies)
        for disk in disks
    }


def whole(row: Mapping[str, Any], found: Iterable[Chain]) -> int:
    """Return the bytes of all that travels: the chains *found*, and all files besides but swap, which is made again.

    Among the latter are disks of snapshots that are not below the present one. What is in use of the datastore says
    less of a linked clone, whose parent is another VM's, and more on vSAN.
    """
    files = row.get("layoutEx.file")
    if files:
        links = (unit for disk in row.get("layoutEx.disk") or () for unit in disk.chain or ())
        counted = {int(key) for unit in links for key in unit.fileKey or ()}
        others = [item for item in files if int(item.key) not in counted and str(item.type) not in _SWAP]
        return sum(int(item.size) for item in others) + sum(chain.used or 0 for chain in found)
    usage = row.get("storage.perDatastoreUsage")
    summary = row.get("summary.storage")
    return sum(int(item.committed) for item in usage) if usage else int(summary.committed) if summary else 0


def _chain(disk: vim.vm.device.VirtualDisk, sizes: list[int], home: str, copies: float) -> Chain:
    """Return the chain of *disk*, whose links have *sizes*, the base first (so reads it the VM Operator of vSphere).

    A link takes the disk's capacity at most; one that its backing names and that has no size counts as full: it may be.
    """
    names = _names(disk.backing)
    links = max(len(names), len(sizes), 1)
    most = capacity(disk)
    if not sizes:
        return Chain(used=None, below=None, links=links, foreign=_foreign(names, home))
    known = [min(int(size / copies), most) for size in sizes]
    known = [most] * (links - len(known)) + known
    return Chain(used=sum(known), below=sum(known[:-1]), links=links, foreign=_foreign(names, home))


def _names(backing: Any) -> list[str]:  # noqa: ANN401 - one of a dozen types of backing
    """Return the files of a *backing* and its parents, the base first."""
    found: list[str] = []
    while backing is not None:
        found.insert(0, str(getattr(backing, "fileName", None) or ""))
        backing = getattr(backing, "parent", None)
    return found


def _foreign(names: Sequence[str], home: str) -> bool:
    """Whether a file below the topmost is neither beside that nor in the VM's *home*, where snapshots leave them."""
    own = {home, _folder(names[-1])} if names else set()
    return any(_folder(name) not in own for name in names[:-1])


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _bytes(unit: vim.vm.FileLayoutEx.DiskUnit, files: Files) -> int:
    return sum(int(files[int(key)].size) for key in unit.fileKey or () if int(key) in files)


def _copies(
    row: Mapping[str, Any],
    disks: Collection[vim.vm.device.VirtualDisk],
    files: Files,
    units: Mapping[int, Sequence[vim.vm.FileLayoutEx.DiskUnit]],
) -> float:
    """Return how often vSAN keeps each byte: sizes there count every mirror; 1 where that cannot be told.

    A recorded vCenter 8.0.3 has the size of an object on its descriptor, and all that is provisioned, in use or not, is
    each disk's capacity as often as it is kept: disks + uncommitted - swap that is not in use yet. With snapshots what
    is provisioned is not known, so that the sizes stay an upper bound.
    """
    told = [unit for disk in disks for unit in units.get(int(disk.key), ())]
    kept = [files[int(key)] for unit in told for key in unit.fileKey or () if int(key) in files]
    objects = [item for item in kept if str(item.type) == "diskDescriptor" and item.backingObjectId]
    usage = row.get("storage.perDatastoreUsage")
    provisioned = sum(capacity(disk) for disk in disks)
    if not usage or len(objects) != len(disks) or len(kept) != len(disks) or not provisioned:
        return 1.0
    swap = sum(int(item.size) - int(item.uniqueSize or 0) for item in files.values() if str(item.type) in _SWAP)
    promised = sum(int(item.size) for item in objects) + sum(int(item.uncommitted) for item in usage) - swap
    return min(max(promised / provisioned, 1.0), _MOST_COPIES)
