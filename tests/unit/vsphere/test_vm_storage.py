"""What a VM's disks take: by the chain that each is made of, with the sizes that are told."""

from __future__ import annotations

from pyVmomi import VmomiSupport, vim

from lrvmotion.vsphere.inventory import vm_storage

LONG = VmomiSupport.vmodlTypes["long"]
GIB = 1 << 30
LAYOUT = vim.vm.FileLayoutEx


def disk(*names: str, capacity: int = 40 * GIB):
    """Return a disk whose backing has the files *names*, the base first."""
    backing = None
    for name in names:
        backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=name, diskMode="persistent", parent=backing)
    return vim.vm.device.VirtualDisk(
        key=2000, backing=backing, capacityInKB=LONG(capacity // 1024), capacityInBytes=LONG(capacity)
    )


def row(files, chain=(), *, home="[ds] vm/vm.vmx", **more):
    """Return the properties of a VM: *files* are (type, bytes), *chain* the files of each link by their numbers."""
    return {
        "config.files.vmPathName": home,
        "layoutEx.file": [
            LAYOUT.FileInfo(key=key, name=f"f{key}", type=kind, size=LONG(size), uniqueSize=LONG(size))
            for key, (kind, size) in enumerate(files)
        ],
        "layoutEx.disk": [LAYOUT.DiskLayout(key=2000, chain=[LAYOUT.DiskUnit(fileKey=list(unit)) for unit in chain])],
        **more,
    }


def read(properties, *disks):
    found = vm_storage.chains(properties, disks)
    return found[2000], vm_storage.whole(properties, found.values())


def test_a_disk_is_its_descriptor_and_its_extent():
    """With the VM's other files; swap is made again."""
    files = [("config", 4096), ("diskDescriptor", 512), ("diskExtent", 3 * GIB), ("swap", 8 * GIB), ("uwswap", 1)]
    chain, whole = read(row(files, [(1, 2)]), disk("[ds] vm/vm.vmdk"))
    assert (chain.used, chain.below, chain.links, chain.foreign) == (3 * GIB + 512, 0, 1, False)
    assert whole == 3 * GIB + 512 + 4096


def test_what_lies_below_is_told_with_a_snapshot_or_without():
    """The topmost link is what is written to."""
    files = [("diskExtent", 3 * GIB), ("diskExtent", 2 * GIB), ("diskExtent", GIB)]
    names = [f"[ds] vm/vm{suffix}.vmdk" for suffix in ("", "-000001", "-000002")]
    chain, whole = read(row(files, [(0,), (1,), (2,)]), disk(*names))
    assert (chain.used, chain.below, chain.links, chain.foreign) == (6 * GIB, 5 * GIB, 3, False)
    assert whole == 6 * GIB


def test_a_base_in_another_folder_is_a_linked_clone():
    """A delta in a working directory of its own is none: its base is in the VM's home."""
    files = [("diskExtent", 3 * GIB), ("diskExtent", GIB)]
    clone, _ = read(row(files, [(0,), (1,)]), disk("[ds] parent/parent.vmdk", "[ds] vm/vm.vmdk"))
    assert clone.foreign
    moved, _ = read(row(files, [(0,), (1,)]), disk("[ds] vm/vm.vmdk", "[scratch] deltas/vm-000001.vmdk"))
    assert not moved.foreign


def test_a_link_without_a_size_counts_as_full():
    """layoutEx tells the topmost only: the parent may be as large as the disk."""
    chain, whole = read(row([("diskExtent", GIB)], [(0,)]), disk("[ds] parent/parent.vmdk", "[ds] vm/vm.vmdk"))
    assert (chain.used, chain.below, chain.links) == (41 * GIB, 40 * GIB, 2)
    assert whole == 41 * GIB


def test_a_link_is_no_larger_than_the_disk():
    """What a file has more than that is no data of the guest's."""
    chain, _ = read(row([("diskExtent", 50 * GIB)], [(0,)]), disk("[ds] vm/vm.vmdk"))
    assert chain.used == 40 * GIB


def test_disks_of_other_snapshots_count():
    """A branch of the tree that is not below the present disk travels, too."""
    files = [("diskExtent", 3 * GIB), ("diskExtent", 2 * GIB), ("diskExtent", GIB)]
    chain, whole = read(row(files, [(0,), (2,)]), disk("[ds] vm/vm.vmdk", "[ds] vm/vm-000002.vmdk"))
    assert (chain.used, whole) == (4 * GIB, 6 * GIB)


def test_without_a_layout_what_the_datastores_have_is_all_that_is_known():
    """No size of a disk is told then."""
    usage = vim.vm.StorageInfo.UsageOnDatastore(committed=LONG(7), uncommitted=LONG(0), unshared=LONG(7))
    chain, whole = read({"storage.perDatastoreUsage": [usage]}, disk("[ds] vm/vm.vmdk"))
    assert (chain.used, chain.below, chain.links, whole) == (None, None, 1, 7)


def test_sizes_of_objects_count_once_however_often_they_are_kept():
    """Two mirrors of a thin disk of 40 GiB: 6 GiB in use of 80, of which 3 travel."""
    files = [("diskDescriptor", 6 * GIB), ("swap", 4 * GIB)]
    usage = vim.vm.StorageInfo.UsageOnDatastore(
        committed=LONG(10 * GIB), uncommitted=LONG(74 * GIB), unshared=LONG(6 * GIB)
    )
    properties = row(files, [(0,)], **{"storage.perDatastoreUsage": [usage]})
    properties["layoutEx.file"][0].backingObjectId = "an-object"
    chain, whole = read(properties, disk("[vsan] vm/vm.vmdk"))
    assert chain.used is not None
    assert abs(chain.used - 3 * GIB) < 2**20
    assert whole == chain.used
