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
    folder = f"[{vm.datastore.name}] {vm.name}/{vm.name}{suffix}"
    below = [] if number else [f"[{vm.datastore.name}] {name}" for name, _ in vm.traits.below]
    return [*below, f"{folder}.vmdk", *(f"{folder}-{delta:06d}.vmdk" for delta in range(1, deltas_of(vm) + 1))]


def storage(vm: Any) -> Any:
    """Return the storage use by datastore."""
    return V.StorageInfo(
        perDatastoreUsage=[
            V.StorageInfo.UsageOnDatastore(
                datastore=vm.datastore.ref,
                committed=LONG(vm.disk_bytes),
                uncommitted=LONG(0),
                unshared=LONG(vm.disk_bytes),
            )
        ],
        timestamp=vm.modified,
    )


def layout(vm: Any) -> Any:
    """Return the VM's files with their sizes."""
    folder = f"[{vm.datastore.name}] {vm.name}/{vm.name}"
    deltas = [f"{folder}-{number:06d}-delta.vmdk" for number in range(1, deltas_of(vm) + 1)]
    below = () if vm.traits.below_unlisted else vm.traits.below
    rows = [
        ("config", f"{folder}.vmx", 0),
        *(("diskExtent", f"[{vm.datastore.name}] {name}".replace(".vmdk", "-flat.vmdk"), size) for name, size in below),
        ("diskExtent", f"{folder}-flat.vmdk", vm.disk_bytes),
        *(("diskExtent", name, 0) for name in deltas),  # nothing writes to a disk here, so a delta stays empty
    ]
    chain = [V.FileLayoutEx.DiskUnit(fileKey=[key]) for key in range(1, len(rows))]
    return V.FileLayoutEx(
        disk=[V.FileLayoutEx.DiskLayout(key=DISK, chain=chain)],
        file=[
            V.FileLayoutEx.FileInfo(key=key, name=name, type=kind, size=LONG(size))
            for key, (kind, name, size) in enumerate(rows)
        ],
        timestamp=vm.modified,
    )
