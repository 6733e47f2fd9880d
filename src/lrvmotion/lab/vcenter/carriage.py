"""What carries a relocate's bytes: vMotion from vMotion vmknics, NFC from provisioning or management ones.

Powered-on disks and memory go by vMotion (TCP 8000); all of a powered-off VM, and what lies below the topmost disk of
one with snapshots, by NFC (TCP 902), one thread from the default stack (vsphere.md 6). NFC's own ceiling of some
1.3 Gbit/s is not simulated.
"""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time
from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from lrvmotion.lab.vcenter.hostd_client import HostdError

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.task import Task

NFC_PORT = 902
_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Bytes of one relocate: *memory* and *hot* of its disks by vMotion, *cold* by NFC."""

    memory: int
    hot: int
    cold: int

    @property
    def whole(self) -> int:
        """All of them."""
        return self.memory + self.hot + self.cold


def load(vm: Any, *, memory: bool, disks: bool) -> Load:
    """Return what a relocate of *vm* carries: with its *memory*, if it runs and changes its host, and its *disks*."""
    size = vm.chain_bytes if disks else 0
    below = size - vm.disk_bytes if disks else 0
    cold = size if not vm.powered_on or vm.snapshots else below  # nothing writes to a disk here: a delta stays empty
    memory_bytes = vm.memory_bytes if memory else 0
    shrink = vm.vcenter.spec.shrink
    return Load(memory=-(-memory_bytes // shrink), hot=-(-(size - cold) // shrink), cold=-(-cold // shrink))


def name(move: str) -> str:
    """Return the id under which the host processes know the NFC part of *move*."""
    return f"{move}-nfc"


def by_nfc(task: Task, source: Any, move: str, target: str, carried: Load) -> None:
    """Carry the cold bytes from the host *source* to the *target* address."""
    default = source.network.netstacks["defaultTcpipStack"]
    request = {
        "sources": [nic.device for nic in source.network.nfc()],
        "targets": [target],
        "port": NFC_PORT,
        "streams": 1,
        "bind": False,
        "congestion_control": default.congestion_control,
        "line_rate_bytes": 133_000_000,
        "memory_bytes": 0,
        "disk_bytes": carried.cold,
        "dirty_bps": 0,
        "switchover_s": 0.5,
        "timeout_s": 20,
    }
    _follow(task, source, name(move), request, 0.0, carried.cold / max(carried.whole, 1), cancelable=True)


def by_vmotion(task: Task, source: Any, vm: Any, move: str, targets: list[str], carried: Load) -> None:
    """Carry memory and hot disks; each argument of the host process is an effective setting of *source*."""
    nics = source.network.vmotion()
    bind = source.options.number("Migrate.BindToVmknic", 3)
    request = {
        "sources": [nic.device for nic in nics],
        "targets": targets,
        "port": 8000,
        # 0: dynamic, one stream below 15 Gb/s of uplink (vsphere.md 1.3, unconfirmed on hardware)
        "streams": source.options.number("Migrate.VMotionStreamHelpers", 0) or 1,
        # 3 always, 2 with several vmknics (vsphere.md 1.2)
        "bind": bind >= 3 or (bind == 2 and len(nics) > 1),
        "congestion_control": source.network.netstacks[nics[0].netstack].congestion_control,
        "line_rate_bytes": source.options.number("Migrate.NetExpectedLineRateMBps", 133) * 1_000_000,
        "memory_bytes": carried.memory,
        "disk_bytes": carried.hot,
        "dirty_bps": vm.dirty_bps // vm.vcenter.spec.shrink,
        "switchover_s": source.options.number("Migrate.PreCopySwitchoverTimeGoal", 500) / 1000,
        "timeout_s": source.options.number("Migrate.NetTimeout", 20),
    }
    before = carried.cold / max(carried.whole, 1)
    _follow(task, source, move, request, before, 1 - before, cancelable=False)


def _follow(
    task: Task, source: Any, move: str, request: dict[str, Any], before: float, share: float, *, cancelable: bool
) -> None:
    """Start one part of a move and report it, *share* of the whole after *before*, until it has ended.

    *cancelable*: in its last phase too; vMotion is not cancelable after switchover (vsphere.md 8).
    """
    hostd = source.hostd
    try:
        hostd.call("migrate", id=move, **request)
        while True:
            now = hostd.call("progress", id=move)
            phase = now["phase"]
            if phase in {"done", "failed", "cancelled"}:
                break
            arrived = now["bytes_arrived"] / max(now["bytes_total"], 1)
            percent = min(99, int(100 * (before + share * arrived)))
            early = phase in {"connect", "precopy"}
            task.report(max(percent, task.progress or 0), cancelable=early or cancelable)
            if task.cancelled and early:
                _cancel(hostd, move)
            time.sleep(_POLL_S)
    except HostdError as error:
        raise vmodl.fault.HostCommunication(msg=f"The source host: {error}") from error
    if phase == "cancelled":
        raise vmodl.fault.RequestCanceled(msg="The task was canceled by a user.")
    if phase == "failed":
        raise failed(str(now.get("error") or "unknown"))


def _cancel(hostd: Any, move: str) -> None:
    try:
        hostd.call("cancel", id=move)
    except HostdError as error:
        if error.kind != "invalid":  # invalid: switchover has begun, too late
            raise


def failed(reason: str) -> Any:
    """Return the fault of a move that began and failed for *reason*."""
    # unconfirmed: the exact class; the key is one that vsphere.md 4 quotes from VMware's own mover
    message = f"Migration to the destination host failed: {reason}"
    return vim.fault.GenericVmConfigFault(
        reason=reason,
        msg=message,
        faultMessage=[vmodl.LocalizableMessage(key="msg.migrate.fail.dst", message=message)],
    )
