"""What the target lacks for a VM: datastore, network, folder, pool, host; and addresses for new vmknics."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lrvmotion.checks.catalogue import Code
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import Host, did_you_mean
from lrvmotion.model.target_id import TargetId


def datastore_inaccessible(vm: str, name: str) -> Finding:
    """The datastore *name* is there, and no host can use it."""
    summary = f"datastore {name} of the target is not accessible"
    return Code.DATASTORE_INACCESSIBLE.error(f"vm/{vm}", summary, "map it to another one")


def datastore_space(vm: str, name: str, *, needed: int, free: int, before: int) -> Finding:
    """A VM needs more bytes than are *free* on the datastore *name* once those *before* it in the plan are there."""
    others = f" once {before / 2**30:.1f} GiB of VMs before it in this plan are there" if before else ""
    summary = (
        f"needs {needed / 2**30:.1f} GiB on {name}, its swap file included; "
        f"{max(0, free) / 2**30:.1f} GiB are free{others}"
    )
    return Code.DATASTORE_SPACE.error(f"vm/{vm}", summary, "map it to another datastore")


def datastore_missing(vm: str, source: str, wanted: str, there: Collection[str]) -> Finding:
    """The target, which has the datastores *there*, has not the *wanted* one for the VM's *source*."""
    hint = f"map it: [mappings.datastores] {source!r} = …; {did_you_mean(wanted, there)}"
    return Code.DATASTORE_MISSING.error(f"vm/{vm}", f"the target has no datastore {wanted!r}", hint)


def network_ambiguous(vm: str, wanted: str, number: int) -> Finding:
    """A *number* of networks have the *wanted* name."""
    summary = f"the target has {number} networks called {wanted!r}"
    return Code.NETWORK_AMBIGUOUS.error(f"vm/{vm}", summary, "map it to a name that is there once")


def network_missing(vm: str, card: str, source: str, wanted: str, there: Collection[str]) -> Finding:
    """The target, which has the networks *there*, has not the *wanted* one for the *card* on *source*."""
    hint = f"map it: [mappings.networks] {source!r} = …; {did_you_mean(wanted, there)}"
    summary = f"{card} is on {source!r}; the target has no network {wanted!r}"
    return Code.NETWORK_MISSING.error(f"vm/{vm}", summary, hint)


def folder_missing(vm: str, wanted: str, there: Collection[str]) -> Finding:
    """The target, which has the VM folders *there*, has not the *wanted* one."""
    summary = f"the target has no VM folder {wanted!r}"
    return Code.FOLDER_MISSING.error(f"vm/{vm}", summary, did_you_mean(wanted, there))


def pool_missing(host: Host, wanted: str) -> Finding:
    """The cluster of the target *host* shows no resource pool *wanted* ("": none at all)."""
    summary = f"cluster {host.cluster} has no resource pool {wanted}".rstrip() + " that we can see"
    return Code.POOL_MISSING.error(TargetId.host("target", host.name), summary)


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
