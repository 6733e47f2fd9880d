"""A TAP device with GSO super-packets, made in the network namespace that it is to live in."""

from __future__ import annotations

import fcntl
import os
import struct

from lrvmotion.lab.netns import entered

READ_MAX = 65_600  # 10 + 14 + 65,535, rounded up
_TUNSETIFF, _TUNSETOFFLOAD, _TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
# TSO6 is not offered: the kernel then cuts IPv6 super-packets itself, before they reach the wire.
_OFFLOADS = 1 | 2 | 8  # TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO_ECN


def open_tap(namespace: str, name: str) -> int:
    """Make the device *name* in *namespace*; return its non-blocking descriptor, with which it goes. Raises OSError."""
    with entered(namespace):
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        fcntl.ioctl(descriptor, _TUNSETVNETHDRSZ, struct.pack("i", 10))
        fcntl.ioctl(descriptor, _TUNSETOFFLOAD, _OFFLOADS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
