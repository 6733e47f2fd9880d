"""The advanced options of ESXi builds: type, bounds, default (vsphere.md 1.1, read from dumps of real hosts)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option; *reboot*: a new value is effective only after one. *low* None: a string."""

    key: str
    default: int | str
    low: int | None = None
    high: int | None = None
    reboot: bool = False
    summary: str = ""


# Release: major, minor, update. The table's columns, by the first release each one covers.
_Release = tuple[int, int, int]


def release(version: str) -> _Release:
    """Return (major, minor, update) of a version such as 7.0.3."""
    parts = [int(part) for part in version.split(".")[:3]]
    return (parts[0], parts[1] if len(parts) > 1 else 0, parts[2] if len(parts) > 2 else 0)


def options(version: str) -> dict[str, Option]:
    """Return the options that a host of *version* has, by key."""
    now = release(version)

    def number(key: str, default: int, low: int, high: int, summary: str, *, reboot: bool = False) -> Option:
        return Option(key=key, default=default, low=low, high=high, summary=summary, reboot=reboot)

    queues = 1 if now < (7, 0, 0) else 2 if now < (9, 0, 0) else 0
    found = [
        number(
            "Migrate.VMotionStreamHelpers", 0, 0, 112 if now >= (7, 0, 2) else 32,
            "Number of helpers to allocate for VMotion streams; 0 to allocate dynamically (at least 1 per stream IP)",
        ),
        number(
            "Migrate.NetExpectedLineRateMBps", 133, 1, 2000,
            "Expected line rate (in MB/s) to use for bandwidth delay product calculations",
        ),
        number(
            "Migrate.BindToVmknic", 3 if now >= (6, 5, 0) else 2, 0, 3 if now >= (6, 5, 0) else 2,
            "Controls which VMotion sockets are bound to a vmknic: 0 none, 1 FT, 2 FT or multi-vmknic, 3 all",
        ),
        number(
            "Net.TcpipRxDispatchQueues", queues, 0 if now >= (9, 0, 0) else 1, 8,
            "Number of RX dispatch queues of the TCP/IP stack. REQUIRES REBOOT!", reboot=True,
        ),
        number(
            "Migrate.SndBufSize", 562540 if now >= (6, 5, 0) else 562140, 65536, 1000000,
            "Socket send buffer size used by the VMotion network module",
        ),
        number(
            "Migrate.RcvBufSize", 562540 if now >= (6, 5, 0) else 562140, 65536, 1000000,
            "Socket receive buffer size used by the VMotion network module",
        ),
        number("Migrate.SdpsEnabled", 2, 0, 2, "Stun During Page Send: 0 off, 1 always, 2 dynamic"),
        number("Migrate.NetLatencyModeThreshold", 4, 1, 1000, "Round trip (ms) from which latency mode applies"),
        number("Migrate.NetTimeout", 20, 1, 3600, "Timeout (s) for a VMotion network operation"),
        number("Migrate.PreCopySwitchoverTimeGoal", 500, 100, 100000, "Goal for the switchover time (ms)"),
        number("Migrate.LowBandwidthSysAlertThreshold", 0, 0, 100000, "Alert below this bandwidth (KB/s), 0 off"),
    ]  # fmt: skip
    if now < (7, 0, 3):
        found.append(number("Migrate.AutoBindVmknic", 1, 0, 1, "Bind the receiving side to its vmknic"))
    else:
        found.append(number("Migrate.NfcNetTimeout", 60, 1, 3600, "Timeout (s) for an NFC operation"))
        found.append(Option(key="Net.ProvisioningVmknics", default="", summary="vmknics that NFC uses"))
    if now >= (8, 0, 1):
        found.append(number("Migrate.VMotionMaxStreamHelpers", 112, 1, 112, "Most stream helpers"))
        found.append(number("Migrate.MigrateStreamHelperBwUtilMax", 15000, 1, 15000, "Bandwidth (Mb/s) of one helper"))
    return {option.key: option for option in found}
