"""HostVirtualNicManager: which vmkernel NIC carries which service."""

# ruff: noqa: ANN401, N803 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vim, vmodl

from lrvmotion.lab.vcenter import host_data
from lrvmotion.lab.vcenter.host_state import DEFAULT_STACK
from lrvmotion.lab.vcenter.hostd_client import HostdError
from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values
from lrvmotion.lab.vcenter.vcenter import unlocked

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.host_system import HostSystem
    from lrvmotion.lab.vcenter.vcenter import Call

# Services a 7.0 host knows and whether several vmkernel NICs may carry them (yavi vim.host.VirtualNicManager);
# unconfirmed: the flag of the rarer ones.
SERVICES = {
    "vmotion": True,
    "faultToleranceLogging": True,
    "vSphereReplication": True,
    "vSphereReplicationNFC": True,
    "management": True,
    "vsan": True,
    "vSphereProvisioning": True,
}


class HostVirtualNicManager(ManagedObject):
    """Selects services on the vmkernel NICs of the default stack."""

    wsdl = "HostVirtualNicManager"
    values: ClassVar[Values] = {
        "info": lambda self: vim.host.VirtualNicManagerInfo(netConfig=self.all_configs()),
    }
    __slots__ = ("host",)

    def __init__(self, host: HostSystem, moid: str) -> None:
        super().__init__(host.vcenter, moid)
        self.host = host

    def all_configs(self) -> list[Any]:
        """Return the selection of every service."""
        return [self.config(kind) for kind in dict.fromkeys([*SERVICES, *self.host.network.selected])]

    def config(self, kind: str) -> Any:
        """Return the selection of one service.

        Only vmkernel NICs of the default stack are candidates and ever selected (vsphere.md 2.2).
        """
        state = self.host.network
        chosen = state.selected.get(kind, set())
        # An estate may have one of another stack selected: it is told as it was.
        nics = [nic for nic in state.vmknics.values() if nic.netstack == DEFAULT_STACK or nic.device in chosen]
        shown = []
        for nic in nics:
            item = host_data.vnic(self.host, nic)
            item.key = f"{kind}.{nic.key}"
            shown.append(item)
        return vim.host.VirtualNicManager.NetConfig(
            nicType=kind,
            multiSelectAllowed=SERVICES.get(kind, True),
            candidateVnic=shown,
            selectedVnic=[f"{kind}.{nic.key}" for nic in nics if nic.device in chosen],
        )

    def QueryNetConfig(self, call: Call, nicType: str) -> Any:
        """Return the selection of *nicType*."""
        del call
        self.host.require_connected()
        if nicType not in SERVICES:
            raise _wrong(name="nicType")
        return self.config(nicType)

    @unlocked
    def SelectVnicForNicType(self, call: Call, nicType: str, device: str) -> None:
        """Let *device* carry *nicType*."""
        del call
        self._change(nicType, device, selected=True)

    @unlocked
    def DeselectVnicForNicType(self, call: Call, nicType: str, device: str) -> None:
        """Let *device* carry *nicType* no more."""
        del call
        self._change(nicType, device, selected=False)

    def _change(self, kind: str, device: str, *, selected: bool) -> None:
        host = self.host
        with host.io:
            with self.vcenter.lock:
                host.require_connected()
                nic = host.network.vmknics.get(device)
                if kind not in SERVICES:
                    raise _wrong(name="nicType")
                if nic is None or nic.netstack != DEFAULT_STACK:
                    raise _wrong(name="device")
                devices = host.network.selected.setdefault(kind, set())
                if selected and not SERVICES[kind]:
                    devices.clear()
                if selected:
                    devices.add(device)
                else:
                    devices.discard(device)
                self.vcenter.registry.touch(self, host)
            try:
                host.push_services()
            except HostdError as error:
                raise vim.fault.HostConfigFault(msg=str(error)) from error


def _wrong(name: str) -> Any:
    return vmodl.fault.InvalidArgument(invalidProperty=name, msg=f"A specified parameter was not correct: {name}")
