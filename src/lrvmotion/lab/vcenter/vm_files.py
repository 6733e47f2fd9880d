"""A VM's files: where they are, their sizes, and the chain that each disk is made of."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time
from __future__ import annotations

from typing import Any

from pyVmomi import VmomiSupport, vim

V: Any = vim.vm
LONG: Any = VmomiSupport.vmodlTypes["long"]
DISK = 2000


def path(vm: Any) -> str:
    """Return the .vmx path."""
    return f"[{vm.datastore.name}] {vm.name}/{vm.name}.vmx"


def files(vm: Any) -> Any:
    """Return where the VM's files are."""
    folder = f"[{vm.datastore.name}] {vm.name}"
    return V.FileInfo(vmPathName=path(vm), snapshotDirectory=folder, suspendDirectory=folder, logDirectory=folder)


def deltas_of(vm: Any) -> int:
    """Return how many delta files lie on a disk: one for each snapshot, none on an independent disk."""
    return 0 if vm.traits.disk_mode.startswith("independent") else len(vm.snapshots)


def chain(vm: Any, number: int) -> list[str]:
    """Return the files of disk *number* as its backing and the parents of that name them, the base first."""
    suffix = f"_{number}" if number else ""
    store = vm.disk_store(DISK + number).name
    folder = f"[{store}] {vm.name}/{vm.name}{suffix}"
    below = [] if number else [f"[{store}] {name}" for name, _ in vm.traits.below]
    return [*below, f"{folder}.vmdk", *(f"{folder}-{delta:06d}.vmdk" for delta in range(1, deltas_of(vm) + 1))]


def storage(vm: Any) -> Any:
    """Return the storage use by datastore."""
    return V.StorageInfo(
        perDatastoreUsage=[
            V.StorageInfo.UsageOnDatastore(
                datastore=store.ref,
                committed=LONG(vm.bytes_on(store)),
                uncommitted=LONG(0),
                unshared=LONG(vm.bytes_on(store)),
            )
            for store in vm.stores()
        ],
        timestamp=vm.modified,
    )


def layout(vm: Any) -> Any:
    """Return the VM's files with their sizes."""
    rows = [("config", f"[{vm.datastore.name}] {vm.name}/{vm.name}.vmx", 0)]
    disks = []
    sizes = vm.sizes()
    for number, key in enumerate(vm.disk_keys()):
        if number and str(key) not in vm.disk_sizes:
            continue  # a disk without files of its own
        own = _extents(vm, number, sizes[str(key)])
        chain = [V.FileLayoutEx.DiskUnit(fileKey=[at]) for at in range(len(rows), len(rows) + len(own))]
        disks.append(V.FileLayoutEx.DiskLayout(key=key, chain=chain))
        rows += own
    return V.FileLayoutEx(
        disk=disks,
        file=[
            V.FileLayoutEx.FileInfo(key=key, name=name, type=kind, size=LONG(size))
            for key, (kind, name, size) in enumerate(rows)
        ],
        timestamp=vm.modified,
    )


def _extents(vm: Any, number: int, size: int) -> list[tuple[str, str, int]]:
    """Return the files of disk *number*, the base first."""
    store = vm.disk_store(DISK + number).name
    folder = f"[{store}] {vm.name}/{vm.name}" + (f"_{number}" if number else "")
    below = () if number or vm.traits.below_unlisted else vm.traits.below
    deltas = [f"{folder}-{delta:06d}-delta.vmdk" for delta in range(1, deltas_of(vm) + 1)]
    return [
        *(("diskExtent", f"[{store}] {name}".replace(".vmdk", "-flat.vmdk"), taken) for name, taken in below),
        ("diskExtent", f"{folder}-flat.vmdk", size),
        *(("diskExtent", name, 0) for name in deltas),  # nothing writes to a disk here, so a delta stays empty
    ]
