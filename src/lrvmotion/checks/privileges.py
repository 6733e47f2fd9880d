"""Which privileges a move and its settings need, where: pure (VMware's lists of required privileges; vsphere.md 9)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lrvmotion.model.inventory import Datastore, Folder, Host, MoRef, Network, Pool, SiteName, VirtualMachine

Wanted = dict[tuple[str, MoRef], tuple[str, ...]]  # (how messages call it, the entity) -> privilege ids

OPTIONS = "Host.Config.AdvancedConfig"
NETWORK = "Host.Config.Network"
ASSIGN = "Network.Assign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where VMs go to: what a run would touch at the target."""

    pools: Collection[Pool] = ()
    folders: Collection[Folder] = ()
    datastores: Collection[Datastore] = ()
    networks: Collection[Network] = ()


def on_hosts(site: SiteName, needed: Collection[str], hosts: Iterable[Host], networks: Iterable[Network]) -> Wanted:
    """Return which of the privileges *needed* (a mode says which) are needed on *hosts*, and which on their networks.

    ASSIGN is for a new vmknic on a distributed switch: it needs its port group.
    """
    wanted: Wanted = {}
    on_host = tuple(privilege for privilege in (OPTIONS, NETWORK) if privilege in needed)
    groups: dict[tuple[str | None, str | None], Network] = {
        (net.switch_uuid, net.portgroup_key): net for net in networks if net.portgroup_key
    }
    for host in hosts:
        if on_host:
            wanted[f"{site}/{host.name}", host.ref] = on_host
        for nic in host.vmotion_vmknics if ASSIGN in needed else ():
            network = groups.get((nic.switch_uuid, nic.portgroup_key))
            if network is not None:
                wanted[f"{site}/network {network.name}", network.ref] = (ASSIGN,)
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
    return {(_folder("source", folder), folder.ref): ("Resource.HotMigrate",) for folder in folders if not folder.path}


def at_target(places: Places) -> Wanted:
    """Return what the moves need at the target."""
    return {
        **{(f"target/pool {pool.path}", pool.ref): ("Resource.AssignVMToPool",) for pool in places.pools},
        **{(_folder("target", folder), folder.ref): ("VirtualMachine.Inventory.Create",) for folder in places.folders},
        **{(f"target/datastore {one.name}", one.ref): ("Datastore.AllocateSpace",) for one in places.datastores},
        **{(f"target/network {one.name}", one.ref): (ASSIGN,) for one in places.networks},
    }


def _folder(site: SiteName, folder: Folder) -> str:
    return f"{site}/VM folder {folder.path or f'of {folder.datacenter}'}"
