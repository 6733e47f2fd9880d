"""Which VMs the vCenters and the relay hosts run in: a search or two for each address, however many VMs there are."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial

from lrvmotion.errors import RefusedError
from lrvmotion.model.inventory import MoRef
from lrvmotion.vsphere.client import moref, required
from lrvmotion.vsphere.session import Session


def serving(session: Session, addresses: Mapping[str, str]) -> dict[MoRef, str]:
    """Return the VMs that have one of *addresses* (names or IP addresses), each with what the address is of.

    SearchIndex knows a guest's primary address and its host name, by VMware Tools (API reference, FindAllByIp and
    FindAllByDnsName): a VM without them is not found. An address of this machine, as of an SSH tunnel, tells nothing.
    """
    index = required(session.content.searchIndex)
    found: dict[MoRef, str] = {}
    for address, whose in addresses.items():
        for form in dict.fromkeys(_forms(address)):
            search = index.FindAllByIp if _ip(form) else index.FindAllByDnsName
            with suppress(RefusedError):  # it may not search: then nobody is told
                vms = session.call(f"{session.site}: VMs at {form}", partial(search, None, form, True))
                for vm in vms or ():
                    found.setdefault(moref(vm), whose)
    return found


def _forms(address: str) -> Iterator[str]:
    """Give *address* and, of a name, what it resolves to; nothing that means this machine."""
    resolved = [address] if _ip(address) else _resolved(address)
    if not any(ipaddress.ip_address(one).is_loopback for one in resolved):
        yield address
        yield from resolved


def _ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _resolved(name: str) -> list[str]:
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    except OSError:
        return []
