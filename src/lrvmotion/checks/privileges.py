"""Which privileges a move and its settings need, where: pure (VMware's lists of required privileges; vsphere.md 9)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lrvmotion.model.inventory import Datastore, Folder, Host, MoRef, Network, Pool, SiteName, VirtualMachine
from lrvmotion.model.setting import DRIVES, SETTING_KINDS, HostKind
from lrvmotion.model.target_id import TargetId, site_object

Wanted = dict[tuple[str, MoRef], tuple[str, ...]]  # (how messages call it, the entity) -> privilege ids

ASSIGN = "Network.Assign"
SET_CD, SET_FLOPPY = "VirtualMachine.Interact.SetCDMedia", "VirtualMachine.Interact.SetFloppyMedia"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where VMs go to: what a run would touch at the target."""

    pools: Collection[Pool] = ()
    folders: Collection[Folder] = ()
    datastores: Collection[Datastore] = ()
    networks: Collection[Network] = ()


def on_hosts(site: SiteName, kinds: Collection[HostKind], hosts: Iterable[Host], networks: Iterable[Network]) -> Wanted:
    """Return what changing settings of *kinds* (a mode says which) needs on *hosts*, and on their networks.

    A new vmknic on a distributed switch needs its port group.
    """
    wanted: Wanted = {}
    needs = {SETTING_KINDS[kind].privilege for kind in kinds}
    on_host = tuple(sorted(privilege for privilege in needs if privilege is not None))
    groups: dict[tuple[str | None, str | None], Network] = {
        (net.switch_uuid, net.portgroup_key): net for net in networks if net.portgroup_key
    }
    for host in hosts:
        if on_host:
            wanted[TargetId.host(site, host.name), host.ref] = on_host
        for nic in host.vmotion_vmknics if "vmknic" in kinds else ():
            network = groups.get((nic.switch_uuid, nic.portgroup_key))
            if network is not None:
                wanted[site_object(site, f"network {network.name}"), network.ref] = (ASSIGN,)
    return wanted


def at_source(vms: Sequence[VirtualMachine], folders: Iterable[Folder]) -> Wanted:
    """Return what the moves need at the source: on each of *vms*, or on the folder of all where none is named."""
    if vms:
        return {
            (f"vm/{vm.name}", vm.ref): (
                "Resource.HotMigrate" if vm.power_state == "poweredOn" else "Resource.ColdMigrate",
            )
            for vm in vms
        }
    return {
        (site_object("source", _folder(folder)), folder.ref): ("Resource.HotMigrate",)
        for folder in folders
        if not folder.path
    }


def to_eject(vms: Iterable[VirtualMachine]) -> Wanted:
    """Return what emptying the drives of *vms* needs on each (vsphere.md 9)."""
    wanted: Wanted = {}
    for vm in vms:
        kinds = {device.kind for device in vm.devices}
        media = [SET_CD] if kinds & {"iso", "cdrom"} else []
        media += [SET_FLOPPY] if "floppy" in kinds else []
        if media:
            wanted[f"vm/{vm.name}", vm.ref] = (DRIVES, *media)
    return wanted


def at_target(places: Places) -> Wanted:
    """Return what the moves need at the target."""
    named = [
        *((f"pool {pool.path}", pool.ref, "Resource.AssignVMToPool") for pool in places.pools),
        *((_folder(folder), folder.ref, "VirtualMachine.Inventory.Create") for folder in places.folders),
        *((f"datastore {one.name}", one.ref, "Datastore.AllocateSpace") for one in places.datastores),
        *((f"network {one.name}", one.ref, ASSIGN) for one in places.networks),
    ]
    return {(site_object("target", name), ref): (needed,) for name, ref, needed in named}


def _folder(folder: Folder) -> str:
    return f"VM folder {folder.path or f'of {folder.datacenter}'}"
