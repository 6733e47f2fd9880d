"""A vCenter as a target: what it keeps of single VMs and we manage, behind read and write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lrvmotion.errors import RefusedError
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import SiteId, TargetId
from lrvmotion.ports.target import GoneError
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.vm.drives import EMPTY, Drives, connected
from lrvmotion.vsphere.vm.relocate import find


class VcenterTarget:
    """The vCenter of *site* (ports.target.Target). Keys: drive/<instance UUID>/<device key>/<words>.

    A VM is told by its instance UUID; one that is not in this vCenter raises GoneError. Every read is fresh.
    """

    def __init__(self, session: Session, site: SiteId) -> None:
        self.name = TargetId.vcenter(site)
        self._session = session
        self._drives = Drives(session)

    def read(self, key: SettingKey) -> Value:
        """Return the setting's value now; ABSENT where it does not exist, GoneError where its VM does not."""
        return self._setting(key)[0](self._vm(key), key)

    def write(self, key: SettingKey, value: Value) -> None:
        """Set it; ABSENT removes it. Raises RefusedError for what is not ours to change."""
        write = self._setting(key)[1]
        if not key.kind.takes(value):
            message = f"{self.name}: {key} cannot be set to a value of type {value.type}"
            raise RefusedError(message)
        write(self._vm(key), key, value)

    def busy(self) -> list[str]:
        """Return nothing: a VM that is moving refuses the write itself."""
        return []

    def ejections(self, instance_uuid: str, vm: str) -> list[tuple[SettingKey, Value, Value]]:
        """Return the drives of *vm* that are connected: key, value now and value when empty."""
        found = find(self._session, instance_uuid)
        if found is None:
            return []
        devices = self._drives.devices(found, f"vm/{vm}")
        return [(key, now, EMPTY) for key, now in connected(instance_uuid, vm, devices)]

    def _vm(self, key: SettingKey) -> Any:  # noqa: ANN401 - a managed object
        found = find(self._session, key.vm)
        if found is None:
            message = f"{self.name}: {key.words}: the VM is not in this vCenter"
            raise GoneError(message)
        return found

    def _setting(
        self, key: SettingKey
    ) -> tuple[Callable[[Any, SettingKey], Value], Callable[[Any, SettingKey, Value], None]]:
        """Return what reads and what writes the settings of *key*'s kind."""
        match key.kind.name:
            case "drive":
                return self._drives.read, self._drives.write
            case _:
                message = f"{self.name}: {key!r} is not a setting of a VM"
                raise RefusedError(message)
