"""Linux calls that Python 3.11 does not have: namespaces, mounts, capabilities; all raise OSError."""

from __future__ import annotations

import ctypes
import os

NEWNS = 0x00020000
NEWCGROUP = 0x02000000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWPID = 0x20000000
NEWNET = 0x40000000

RDONLY = 0x1
NOSUID = 0x2
NODEV = 0x4
NOEXEC = 0x8
REMOUNT = 0x20
BIND = 0x1000
RECURSIVE = 0x4000
PRIVATE = 0x40000

_DETACH = 2
_SET_PDEATHSIG = 1
_CAPBSET_DROP = 24

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


def mount(source: str, target: str, kind: str = "", *, flags: int = 0, options: str | None = None) -> None:
    """Mount *source* of file system type *kind* on *target*; see mount(2) for the flags."""
    data = options.encode() if options is not None else None
    _check(
        _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data),
        target,
    )


def bind(source: str, target: str, *, flags: int = 0) -> None:
    """Show *source* at *target* too; *flags* (RDONLY, ...) hold for the new mount only."""
    mount(source, target, flags=BIND)
    if flags:
        mount("none", target, flags=BIND | REMOUNT | flags)


def make_private() -> None:
    """Cut every mount of this mount namespace off from the namespace that it was copied from."""
    mount("none", "/", flags=RECURSIVE | PRIVATE)


def pivot_root(new: str) -> None:
    """Make the mount point *new* the root of this mount namespace and let go of the old root."""
    os.chdir(new)
    _check(_libc.pivot_root(b".", b"."), new)
    _check(_libc.umount2(b".", _DETACH), "/")
    os.chdir("/")


def unshare(flags: int) -> None:
    """Leave the namespaces named by *flags* for new ones (NEWPID: for children only)."""
    _check(_libc.unshare(flags), "unshare")


def enter_network(name: str) -> None:
    """Enter the network namespace called *name* (as `ip netns` names them)."""
    handle = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter_network_handle(handle)
    finally:
        os.close(handle)


def enter_network_handle(handle: int) -> None:
    """Enter the network namespace that the open file *handle* stands for."""
    _check(_libc.setns(handle, NEWNET), "setns")


def set_hostname(name: str) -> None:
    """Set the host name of this UTS namespace."""
    encoded = name.encode()
    _check(_libc.sethostname(encoded, len(encoded)), name)


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send *signal_number* to this process when its parent ends."""
    _check(_libc.prctl(_SET_PDEATHSIG, signal_number, 0, 0, 0), "PR_SET_PDEATHSIG")


def drop_capability(number: int) -> None:
    """Take capability *number* from the bounding set of this process and its children."""
    _check(_libc.prctl(_CAPBSET_DROP, number, 0, 0, 0), "PR_CAPBSET_DROP")
