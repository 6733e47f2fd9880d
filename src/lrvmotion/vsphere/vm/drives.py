"""The CD and floppy drives of a VM: what is in them, ejected and inserted again; a guest's lock is overridden."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from pyVmomi import vim

from lrvmotion.checks.vms import waits
from lrvmotion.errors import RefusedError
from lrvmotion.model.setting import ABSENT, SettingKey, Value, document
from lrvmotion.ports.target import GoneError
from lrvmotion.vsphere import tasks
from lrvmotion.vsphere.client import properties_of
from lrvmotion.vsphere.inventory.vm_hardware import label
from lrvmotion.vsphere.inventory.vms import question
from lrvmotion.vsphere.session import Session

ANSWER_S = 60.0  # how long a drive may take to be emptied, with whatever the VM asks meanwhile
CANCEL_S = 10.0
LOCKED = "msg.cdromdisconnect.locked"  # vsphere.md 3.6
_D: Final = vim.vm.device
_CD: Final = _D.VirtualCdrom
_FLOPPY: Final = _D.VirtualFloppy
# What is in a drive, by its backing; "client" is also the backing of an empty one. More special classes first.
_MEDIA: Final[dict[str, tuple[tuple[Any, ...], str]]] = {
    "iso": ((_CD.IsoBackingInfo,), "fileName"),
    "image": ((_FLOPPY.ImageBackingInfo,), "fileName"),
    "host": ((_CD.AtapiBackingInfo, _FLOPPY.DeviceBackingInfo), "deviceName"),
    "host-passthrough": ((_CD.PassthroughBackingInfo,), "deviceName"),
    "client": ((_CD.RemotePassthroughBackingInfo, _FLOPPY.RemoteDeviceBackingInfo), "deviceName"),
    "client-emulated": ((_CD.RemoteAtapiBackingInfo,), "deviceName"),
}
EMPTY: Final = document(media="client", name="", connected=False, start_connected=False)


def connected(instance_uuid: str, vm: str, devices: list[Any]) -> Iterator[tuple[SettingKey, Value]]:
    """Give each drive of *devices* that is connected, as a setting of *vm*: its key and what it is now."""
    for device in devices:
        if isinstance(device, _CD | _FLOPPY) and device.connectable is not None and device.connectable.connected:
            name = f"{instance_uuid}/{device.key}/{vm}: {label(device)}"
            yield SettingKey.of("drive", name), _value(device)


def _value(device: Any) -> Value:  # noqa: ANN401 - a CD or floppy drive
    backing, state = device.backing, device.connectable
    on, starts = bool(state is not None and state.connected), bool(state is not None and state.startConnected)
    for media, (kinds, field) in _MEDIA.items():
        if isinstance(backing, kinds):
            name = str(getattr(backing, field, None) or "")
            if media.startswith("client") and not on:  # an empty drive, whatever the client's was called
                return document(media="client", name="", connected=on, start_connected=starts)
            return document(media=media, name=name, connected=on, start_connected=starts)
    return document(media=type(backing).__name__, name="", connected=on, start_connected=starts)


class Drives:
    """The drives of the VMs of one vCenter, as settings `drive/INSTANCE-UUID/DEVICE-KEY/WORDS`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def read(self, vm: Any, key: SettingKey) -> Value:  # noqa: ANN401 - a managed object
        """Return what is in the drive, ABSENT where the VM has no such drive."""
        device = self._device(vm, key)
        return ABSENT if device is None else _value(device)

    def write(self, vm: Any, key: SettingKey, value: Value) -> None:  # noqa: ANN401 - a managed object
        """Insert or empty; a locked door is overridden, for whoever ejects wants that.

        Any other question of the VM, and what a client had connected, raises RefusedError (GoneError).
        """
        subject, device = f"{self._session.site}: {key.words}", self._device(vm, key)
        if device is None or value == ABSENT:
            message = f"{subject}: the VM no longer has this drive"
            raise RefusedError(message)
        wanted = value.as_document()
        if wanted["connected"] and wanted["media"].startswith("client"):
            message = f"{subject}: a client's device was connected, and only its console can connect it again"
            raise GoneError(message)
        device.backing = _backing(device, wanted, subject)
        state = device.connectable or _D.VirtualDevice.ConnectInfo(allowGuestControl=True)
        state.connected, state.startConnected, state.status = wanted["connected"], wanted["start_connected"], None
        device.connectable = state
        change = _D.VirtualDeviceSpec(operation="edit", device=device)
        spec = vim.vm.ConfigSpec(deviceChange=[change])
        self._finish(vm, subject, self._session.call(subject, lambda: vm.ReconfigVM_Task(spec)))

    def devices(self, vm: Any, subject: str) -> list[Any]:  # noqa: ANN401 - a managed object
        """Return the VM's virtual devices."""
        row = self._session.call(subject, lambda: properties_of(self._session.content, vm, ["config.hardware.device"]))
        return list(row.get("config.hardware.device") or ())

    def _device(self, vm: Any, key: SettingKey) -> Any:  # noqa: ANN401
        number = key.device
        found = self.devices(vm, f"{self._session.site}: {key.words}")
        return next((one for one in found if str(one.key) == number and isinstance(one, _CD | _FLOPPY)), None)

    def _finish(self, vm: Any, subject: str, task: vim.Task) -> None:  # noqa: ANN401
        """Wait for *task*, answering the guest's lock; any other question ends it: nobody else is there to answer."""
        until, answered, asked = time.monotonic() + ANSWER_S, "", ""
        row: dict[str, Any] = {}
        paths = ("runtime.question",)
        while time.monotonic() < until:
            row = self._session.call(
                subject, lambda: properties_of(self._session.content, task, ("info.state", "info.error"))
            )
            if str(row.get("info.state")) in tasks.ENDED:
                tasks.raise_fault(subject, row.get("info.error"))
                return
            state = self._session.call(subject, lambda: properties_of(self._session.content, vm, paths))
            found = state.get("runtime.question")
            asked = question(found)
            if found is not None and str(found.id) != answered:
                if not _locked(found):
                    break
                answered = str(found.id)
                self._session.call(subject, lambda: vm.AnswerVM(answered, _yes(found)))  # noqa: B023 - called at once
            time.sleep(0.2)
        tasks.cancel(self._session, subject, task)
        why = f"the VM {waits(asked)}" if asked else f"this has not ended after {ANSWER_S:.0f} s"
        message = f"{subject}: {why}"
        raise RefusedError(message, hint="look at the VM in vCenter")


def _locked(found: vim.vm.QuestionInfo) -> bool:
    """Whether *found* is the guest's lock of the CD drive: told by its message, in whatever language it is shown."""
    return any(str(one.id) == LOCKED for one in found.message or ()) or LOCKED in str(found.text)


def _yes(found: vim.vm.QuestionInfo) -> str:
    """Return the choice that overrides the lock: the one that is called Yes, else the first (vsphere.md 3.6)."""
    choices = list(found.choice.choiceInfo or ())
    said = next((str(one.key) for one in choices if "yes" in f"{one.label} {one.summary}".lower()), None)
    return said if said is not None else "0"


def _backing(device: Any, wanted: dict[str, Any], subject: str) -> Any:  # noqa: ANN401
    """Return the backing for *wanted*, of the kind that *device* takes."""
    holder = _CD if isinstance(device, _CD) else _FLOPPY
    kinds, field = _MEDIA.get(wanted["media"], ((), ""))
    kind = next((one for one in kinds if one.__name__.startswith(f"{holder.__name__}.")), None)
    if kind is None:
        message = f"{subject}: a backing of the kind {wanted['media']} cannot be connected again"
        raise RefusedError(message)
    return kind(**{field: wanted["name"]}, **({"exclusive": False} if "Passthrough" in kind.__name__ else {}))
