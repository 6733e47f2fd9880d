"""What a vSphere fault means: whether to try again, its cause in the fault's own words, and what to do.

Sources: API reference of the fault classes, the field's experience with message keys (reference section 4). Faults are
classified by class, the most specific first, and by message key; never by localised text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lrvmotion.run.credentials import hidden

VerdictName = Literal["retry", "fix", "never", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """*retry*: try again later, after looking at both vCenters; *fix*: try again once the hint was followed."""

    verdict: VerdictName
    cause: str
    hint: str | None = None


_LATER = "try again later; look at both vCenters first"
_NETWORK = "map the VM's networks to ones that the target host has: [mappings.networks]"
_HARDWARE = "the target host cannot run this VM: choose another host or another EVC mode"
_DEVICE = "disconnect the device from the VM"
_PASSED_THROUGH = "a PCI device is passed through: power the VM off and remove the device"
# CannotUseNetwork.reason (CannotUseNetworkReason)
_NETWORK_REASONS = {
    "MismatchedDvsVersionOrVendor": "the distributed switches of the two sites differ in version: upgrade the older",
    "MismatchedNetworkPolicies": "the port groups' policies differ: give both the same",
    "NetworkUnderMaintenance": "the network is under maintenance: try later",
    "VMotionToUnsupportedNetworkType": "map the VM's networks to distributed port groups: [mappings.networks]",
}
_STORAGE = "choose another datastore: [mappings.datastores]"

_TABLE: dict[str, tuple[VerdictName, str | None]] = {
    "RequestCanceled": ("cancelled", None),
    # Transient: the same move may work later.
    "Timedout": ("retry", _LATER),
    "TaskInProgress": ("retry", "another task works on this VM: wait until it has ended"),
    "ConcurrentAccess": ("retry", _LATER),
    "MigrationNotReady": ("retry", _LATER),
    "InsufficientResourcesFault": ("retry", "the target host or pool is full: try later or another host"),
    "ResourceInUse": ("retry", _LATER),
    "FileLocked": ("retry", "something else holds a file of this VM, a backup for example"),
    "HostCommunication": ("retry", "vCenter does not reach a host: check both hosts' connection"),
    "SystemError": ("retry", _LATER),
    # Works once something was put right.
    "ToolsInstallationInProgress": ("fix", "unmount the VMware Tools installer in the VM"),
    "CannotAccessVmDevice": ("fix", "disconnect the VM's CD-ROM or ISO"),
    "NotAuthenticated": ("fix", "the login has ended: look whether the task exists before trying again"),
    "NoDiskSpace": ("fix", "free space on the target datastore, or map to another one"),
    "DuplicateName": ("fix", "rename one of the two VMs of this name"),
    "MethodDisabled": ("fix", "a product, of backups mostly, has disabled moves of this VM: let its job end"),
    # Will not work as it is.
    "InvalidLogin": ("never", "the target vCenter refused the login that the source vCenter was given"),
    "SSLVerifyFault": ("never", "the source vCenter sees another certificate at the target than we pinned"),
    "NoPermission": ("never", "give the account the missing privilege"),
    "FeatureRequirementsNotMet": ("never", _HARDWARE),
    "CpuIncompatible": ("never", _HARDWARE),
    "VMotionNotConfigured": ("never", "enable the vMotion service on a vmkernel adapter of the host"),
    "VMotionNotLicensed": ("never", "cross-vCenter vMotion needs an Enterprise Plus licence on both sides"),
    "VMotionNotSupported": ("never", None),
    "VMotionProtocolIncompatible": ("never", "the two hosts' versions do not speak the same vMotion protocol"),
    "VMotionLinkDown": ("never", "the physical link of the vMotion network is down"),
    "DisallowedMigrationDeviceAttached": ("never", _DEVICE),
    "CannotAccessVmDisk": ("never", _STORAGE),
    "CannotAccessNetwork": ("never", _NETWORK),
    "CannotUseNetwork": ("never", _NETWORK),
    "RDMNotSupported": ("never", _STORAGE),
    "RDMNotPreserved": ("never", _STORAGE),
    "NonHomeRDMVMotionNotSupported": ("never", _STORAGE),
    "SnapshotCopyNotSupported": ("never", "delete the VM's snapshots"),
    "CannotMoveVmWithDeltaDisk": ("never", "delete the VM's snapshots"),
    "InvalidDatastore": ("never", _STORAGE),
    "DatacenterMismatch": ("never", "name a VM folder, network and datastore of the target host's own datacenter"),
    "VirtualHardwareVersionNotSupported": ("never", "the target host does not know this virtual hardware version"),
    "DeviceNotSupported": ("never", _DEVICE),
    "EncryptionKeyRequired": ("never", "the target needs the VM's encryption key: connect it to the key provider"),
    "NotEnoughLicenses": ("never", "check the licences of both hosts"),
    "MigrationDisabled": ("never", "vMotion is disabled for this VM"),
    "InvalidPowerState": ("never", "the VM's power state changed: plan again"),
    "InvalidState": ("never", None),
    "HostConnectFault": ("never", "the source vCenter server does not reach the target's: TCP 443 and its name"),
    "InvalidArgument": ("never", None),
    "NotSupported": ("never", None),
    "ManagedObjectNotFound": ("never", "it no longer exists: plan again"),
}
_TRANSIENT_KEYS = ("msg.migrate", "msg.vmotion", "msg.checkpoint.", "vob.vmotion.")
_PERMANENT_KEYS = frozenset({"msg.pciPassthru.noMigration"})  # whatever else is beside them
_SWITCHOVER = "msg.checkpoint.migration.maxSwitchoverTimeExceeded"


def class_name(fault: object) -> str:
    """Return the fault's class without its package: "NoPermission"."""
    return type(fault).__name__.rpartition(".")[2]


def keys(fault: object) -> list[str]:
    """Return the keys of the fault's messages ("msg.migrate.fail.dst")."""
    return [str(message.key) for message in getattr(fault, "faultMessage", None) or ()]


def text(fault: object) -> str:
    """Return the fault in one line: its class and its own messages, its cause behind it.

    Never its repr: a fault may hold the objects of the call, the password of a ServiceLocator among them; where its
    own words repeat that, it is left out. None: a task failed without one (TaskInfo.error is optional).
    """
    if fault is None:
        return "it failed without a fault"
    said: list[str] = []
    for message in getattr(fault, "faultMessage", None) or ():
        sentence = str(message.message or message.key).strip()
        if sentence and sentence not in said:
            said.append(sentence)
    own = str(getattr(fault, "msg", None) or "").strip()
    if own and own not in said:
        said.insert(0, own)
    name = class_name(fault)
    line = hidden(f"{name}: {' '.join(said)}" if said else name)
    cause = getattr(fault, "faultCause", None)
    return f"{line} (because of {text(cause)})" if cause is not None else line


def classify(fault: object) -> Verdict:
    """Return what *fault* means for the move that it ended."""
    cause = text(fault)
    found = keys(fault)
    if class_name(fault) in {"GenericVmConfigFault", "MigrationFault"}:
        if _SWITCHOVER in found:
            hint = "the VM changes its memory faster than the circuit carries it: move it at a quiet time, alone"
            return Verdict(verdict="retry", cause=cause, hint=hint)
        if _PERMANENT_KEYS.intersection(found):
            return Verdict(verdict="never", cause=cause, hint=_PASSED_THROUGH)
        if any(key.startswith(_TRANSIENT_KEYS) for key in found):
            return Verdict(verdict="retry", cause=cause, hint=_LATER)
    for kind in type(fault).__mro__:
        entry = _TABLE.get(kind.__name__.rpartition(".")[2])
        if entry is not None:
            why = _NETWORK_REASONS.get(str(getattr(fault, "reason", None)))
            return Verdict(verdict=entry[0], cause=cause, hint=why or entry[1])
    return Verdict(verdict="never", cause=cause)
