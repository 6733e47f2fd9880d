"""Single moves in a lab without a network: VMs that are small, one planned and moved without a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lrvmotion.config.schema import Config
from lrvmotion.lab.spec import MIB, LabSpec, VmSpec
from lrvmotion.plan.placer import Placer
from lrvmotion.plan.plan import Migration
from lrvmotion.vsphere.inventory.collect import collect_vms

CONFIG = {
    "source": {"vcenter": "a", "username": "u", "sha256": "ab" * 32},
    "target": {"vcenter": "b", "username": "u", "sha256": "ab" * 32},
}


def small_vms(count: int) -> Callable[[LabSpec], LabSpec]:
    """Return what gives a lab's source *count* VMs, vm1 …, of 32 MiB each on one host."""

    def change(spec: LabSpec) -> LabSpec:
        vms = [
            VmSpec(name=f"vm{n}", host="esx-a1", memory_bytes=16 * MIB, disk_bytes=16 * MIB)
            for n in range(1, count + 1)
        ]
        return replace(spec, source=replace(spec.source, vms=tuple(vms)))

    return change


def planned(lab, name: str) -> Migration:
    """Return the migration of the VM *name* of *lab*, as a plan would place it."""
    source, target = lab.inventory("source"), lab.inventory("target")
    source = collect_vms(lab.source, source, [dict(source.vm_names)[name]])
    vm = source.vms[0]
    placement, found = Placer(Config.model_validate(CONFIG), source, target).place(vm)
    assert placement is not None, found
    return Migration(
        vm=name, ref=vm.ref, instance_uuid=vm.instance_uuid, source_host=source.host_by_ref(vm.host).name,
        placement=placement, hot_bytes=0, cold_bytes=0, power_state=vm.power_state, snapshots=vm.snapshots,
    )  # fmt: skip


def arrive(mover, migration) -> None:
    """Start *migration* and wait until it has succeeded."""
    mover.start(migration)
    for _ in range(60):
        for update in mover.updates(1.0):
            if update.state in {"success", "error"}:
                assert update.state == "success", update
                return
    raise AssertionError(migration.vm)


def traits(lab, name: str, **given) -> None:
    """Give the VM *name* at the source traits of the lab."""
    lab.control("source", "vm_set", vm=name, traits=given)
