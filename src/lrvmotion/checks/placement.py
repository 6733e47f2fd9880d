"""What the target lacks for a VM: datastore, network, folder, pool, host; and addresses for new vmknics."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from lrvmotion.checks.catalogue import Code
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import Datastore, Host, Nic
from lrvmotion.model.target_id import TargetId

_RECORDED = "the run recorded this place, and mappings do not change it: bring it back, or migrate the VM as any other"


def datastore_unusable(vm: str, store: Datastore) -> Finding:
    """The datastore is there, and no host can use it, or it is to be emptied."""
    state = "is in maintenance mode" if store.maintenance else "is not accessible"
    summary = f"datastore {store.name} of the target {state}"
    return Code.DATASTORE_INACCESSIBLE.error(f"vm/{vm}", summary, "map it to another one")


def datastore_space(vm: str, name: str, *, needed: int, free: int, before: int) -> Finding:
    """A VM needs more bytes than are *free* on the datastore *name* once those *before* it in the plan are there."""
    others = f" once {before / 2**30:.1f} GiB of VMs before it in this plan are there" if before else ""
    summary = (
        f"needs {needed / 2**30:.1f} GiB on {name}, its swap file included; "
        f"{max(0, free) / 2**30:.1f} GiB are free{others}"
    )
    return Code.DATASTORE_SPACE.error(f"vm/{vm}", summary, "map it to another datastore")


def datastore_missing(vm: str, source: str, wanted: str, near: str, *, recorded: bool = False) -> Finding:
    """The target has not the *wanted* datastore for what the VM has on *source*; *near* says which it has.

    *recorded*: a past run recorded the place, so that no mapping changes it.
    """
    if not wanted:
        hint = f"say where it goes in a CSV file, in the column datastore; {near}"
        return Code.DATASTORE_MISSING.error(f"vm/{vm}", "the datastore that it is on cannot be seen", hint)
    hint = _RECORDED if recorded else f"map it: [mappings.datastores] {source!r} = …; {near}"
    return Code.DATASTORE_MISSING.error(f"vm/{vm}", f"the target has no datastore {wanted!r}", hint)


def network_missing(vm: str, card: str, source: str, wanted: str, near: str, *, recorded: bool = False) -> Finding:
    """The target has not the *wanted* network for the *card* on *source*; *near* says which it has.

    *recorded*: as in datastore_missing.
    """
    hint = _RECORDED if recorded else f"map it: [mappings.networks] {source!r} = …; {near}"
    summary = f"{card} is on {source!r}; the target has no network {wanted!r}"
    return Code.NETWORK_MISSING.error(f"vm/{vm}", summary, hint)


def card_without_network(vm: str, nic: Nic) -> Finding:
    """A card whose network the source does not have (any more), so that it cannot be mapped by that."""
    if nic.network is not None:
        what = f"is on {nic.network!r}, which the source no longer has: it was removed or renamed"
    elif nic.backed:
        what = "is on a port group that was removed, or that the account may not see"
    else:
        what = "is connected to no network"
    hint = (
        "connect it to a network in vSphere, or say where it goes in a CSV file, in the column networks: "
        f'"{nic.label}=NETWORK"'
    )
    return Code.NIC_WITHOUT_NETWORK.error(f"vm/{vm}", f"{nic.label} {what}", hint)


def ambiguous(vm: str, noun: str, said: str, host: str, candidates: Collection[str]) -> Finding:
    """The name *said* means several places of the target *host*: *candidates*, each as it can be typed."""
    several = ", ".join(candidates)
    summary = f"{noun} {said!r} means {len(candidates)} places on {host}: {several}"
    hint = "say which of these in the configuration's mappings or in the CSV file, just as they are written here"
    return Code.PLACE_AMBIGUOUS.error(f"vm/{vm}", summary, hint)


def several_datacenters(vm: str, host: Host, others: Sequence[str]) -> Finding:
    """The names of its places mean some in other datacenters than that of *host*, too, and none was chosen."""
    summary = f"goes to datacenter {host.datacenter}; all its names mean places in {', '.join(others)}, too"
    hint = "say which by target.hosts, by [mappings.hosts] or folders, or in the CSV file"
    return Code.PLACE_DATACENTERS.warning(f"vm/{vm}", summary, hint)


def folder_missing(vm: str, wanted: str, near: str, *, recorded: bool = False) -> Finding:
    """The target has not the *wanted* VM folder; *near* says which it has. *recorded*: as in datastore_missing."""
    hint = _RECORDED if recorded else near
    return Code.FOLDER_MISSING.error(f"vm/{vm}", f"the target has no VM folder {wanted!r}", hint)


def pool_missing(vm: str, host: Host, wanted: str) -> Finding:
    """The cluster of the target *host* shows no resource pool *wanted* ("": none at all), nor does any other."""
    summary = f"cluster {host.cluster}, which has target host {host.name}, shows no resource pool {wanted}".rstrip()
    return Code.POOL_MISSING.error(f"vm/{vm}", summary)


def host_replaced(vm: str, host: Host, reasons: Mapping[str, str]) -> Finding:
    """The host that the VM came from cannot take it back, for *reasons*; *host* of its cluster does."""
    why = "; ".join(f"{name} {reason}" for name, reason in reasons.items())
    summary = f"goes back to {host.name} of the same cluster: {why}"
    return Code.HOST_REPLACED.warning(f"vm/{vm}", summary, "bring its former host back first, if it must be that one")


def host_missing(vm: str, reasons: Mapping[str, str]) -> Finding:
    """No host of the target fits; *reasons* says why by host, as in "is in maintenance mode"."""
    why = "; ".join(f"{name} {reason}" for name, reason in reasons.items()) or "the target has no host"
    return Code.HOST_MISSING.error(f"vm/{vm}", f"no target host can take it: {why}")


def pool_too_small(target: TargetId, summary: str, hint: str | None) -> Finding:
    """The address pool has too few free addresses for the host *target*, as address_pool.take says."""
    return Code.POOL_TOO_SMALL.error(target, summary, hint)


def address_in_use(target: TargetId, address: str) -> Finding:
    """A free *address* of its site's pool, meant for the host *target*, answers a ping."""
    summary = f"{address} of the address pool answers a ping: something else has it"
    return Code.ADDRESS_IN_USE.error(target, summary, f"take it out of {target.site}.vmotion.addresses")
