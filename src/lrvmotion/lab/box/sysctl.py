"""Read and restored the net.* settings of a network namespace."""

from __future__ import annotations

import os
from pathlib import Path

from lrvmotion.lab.box import kernel

_ROOT = Path("/proc/sys/net")
# They change by themselves, or with what the machine (not the box) has loaded.
_VOLATILE = frozenset(
    {
        "net.ipv4.tcp_allowed_congestion_control",
        "net.ipv4.tcp_available_congestion_control",
        "net.ipv4.tcp_available_ulp",
        "net.ipv4.tcp_fastopen_key",
        "net.netfilter.nf_conntrack_count",
    }
)
# Writing these rewrites many others, so they go first.
_FIRST = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.", "net.ipv6.conf.all.")
_PASSES = 4


def read(namespace: str) -> dict[str, str]:
    """Return every readable, lasting net.* setting of *namespace*."""
    with _Inside(namespace):
        return _read()


def restore(namespace: str, wanted: dict[str, str]) -> list[str]:
    """Put *wanted* back in *namespace*; return the names that the kernel did not take back."""
    order = sorted(wanted, key=lambda name: (not name.startswith(_FIRST), name))
    with _Inside(namespace):
        different: list[str] = []
        for _ in range(_PASSES):
            now = _read()
            different = [name for name in order if name in now and now[name] != wanted[name]]
            if not different:
                break
            for name in different:
                _write(name, wanted[name])
        return different


class _Inside:
    """While entered, this thread (no other) is in the network namespace called *name*."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._home = -1

    def __enter__(self) -> None:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        kernel.enter_network(self._name)

    def __exit__(self, *_: object) -> None:
        try:
            kernel.enter_network_handle(self._home)
        finally:
            os.close(self._home)


def _read() -> dict[str, str]:
    found: dict[str, str] = {}
    for folder, _, leaves in os.walk(_ROOT):
        for leaf in leaves:
            path = Path(folder, leaf)
            # As sysctl(8) writes them: a dot inside a name (a VLAN device) becomes a slash.
            parts = (part.replace(".", "/") for part in path.relative_to(_ROOT).parts)
            name = ".".join(("net", *parts))
            if name in _VOLATILE:
                continue
            try:
                found[name] = path.read_text(errors="replace").rstrip("\n")
            except OSError:
                continue  # write-only (flush), or a secret that is not set
    return found


def _write(name: str, value: str) -> None:
    parts = (part.replace("/", ".") for part in name.split(".")[1:])
    try:
        _ROOT.joinpath(*parts).write_text(value + "\n")
    except OSError:
        return  # read-only in a namespace: what the box could not change either
