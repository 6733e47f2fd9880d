"""Network namespaces of a lab: their names, how to run something in one, how to step into one."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import re
from collections.abc import Iterator

from lrvmotion.lab.spec import LabSpec, SiteName

_CLONE_NEWNET = 0x40000000
_SAFE = re.compile(r"[^A-Za-z0-9.-]+")


def lab_id(spec: LabSpec) -> str:
    """Return eight characters that stand for this lab of this user on this machine."""
    return hashlib.sha256(f"{os.getuid()} {spec.name}".encode()).hexdigest()[:8]


def router_namespace(spec: LabSpec, site: SiteName) -> str:
    """Return the namespace of the site's WAN router."""
    return f"lrv-{lab_id(spec)}-{site[0]}r"


def host_namespace(spec: LabSpec, site: SiteName, host: str) -> str:
    """Return the namespace of a simulated ESXi host."""
    return f"lrv-{lab_id(spec)}-{site[0]}h-{_SAFE.sub('_', host)}"


def box_namespace(spec: LabSpec, site: SiteName, box: str) -> str:
    """Return the namespace of a relay host."""
    return f"lrv-{lab_id(spec)}-{site[0]}b-{_SAFE.sub('_', box)}"


def prefix(namespace: str) -> list[str]:
    """Return what to put before a command so that it runs in *namespace*."""
    return ["ip", "netns", "exec", namespace]


@contextlib.contextmanager
def entered(namespace: str) -> Iterator[None]:
    """Put the calling thread into *namespace* for a while; what it opens meanwhile stays there. Raises OSError."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _setns(back)
    finally:
        os.close(back)


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
