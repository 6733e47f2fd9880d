"""HostSystem: connection, maintenance, reboot, and the host's process behind it."""

# ruff: noqa: ANN401, N803 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vim, vmodl

from lrvmotion.lab.spec import HostSpec
from lrvmotion.lab.vcenter import datastore, environment_browser, host_data, host_power
from lrvmotion.lab.vcenter.clock import now
from lrvmotion.lab.vcenter.entity import COMMON, Entity
from lrvmotion.lab.vcenter.host_state import (
    DEFAULT_STACK,
    VMOTION_STACK,
    Netstack,
    NetworkState,
    PortGroup,
    Vmknic,
    mac,
)
from lrvmotion.lab.vcenter.hostd_client import HostdClient, HostdError
from lrvmotion.lab.vcenter.managed_object import Values
from lrvmotion.lab.vcenter.registry import type_named
from lrvmotion.lab.vcenter.soap_codec import RawXml

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call, Vcenter


class HostSystem(Entity):
    """A host.

    *io* serialises what reaches its process, and is taken before the model's lock, never while holding that.
    """

    wsdl = "HostSystem"
    prefix = "host"
    values: ClassVar[Values] = {**COMMON, **host_data.VALUES}
    __slots__ = (
        "boot_s", "boot_time", "booting", "connection", "cost", "datacenter", "encrypted_vmotion", "evc", "executer",
        "hardware", "held", "hostd", "io", "machines", "maintenance", "max_evc", "most_disks", "network",
        "network_system", "nic_manager", "number", "options", "spec", "switch", "vm_networks",
    )  # fmt: skip

    def __init__(self, vcenter: Vcenter, spec: HostSpec, parent: Any, number: int) -> None:
        self.spec = spec
        self.number = number
        self.datacenter = parent.datacenter
        self.connection = "notResponding"
        self.held = False  # kept away by the lab's control socket
        self.maintenance = False
        self.boot_time = now()
        self.boot_s: float | None = host_power.BOOT_S  # None: it does not come back from a reboot
        self.booting = False
        self.cost = 0
        self.evc = ""  # no EVC mode in its cluster
        self.max_evc = "intel-cascadelake"  # the lab's own choice
        self.most_disks = 64  # unconfirmed: what a host reports as maxNumDisksSVMotion
        self.encrypted_vmotion = True
        self.hardware = environment_browser.newest(spec.version)
        self.io = threading.RLock()
        self.machines: dict[str, Any] = {}
        self.vm_networks: list[Any] = []
        self.switch: Any = None
        self.hostd = HostdClient(vcenter.folder / f"{spec.name}.sock")
        self.network = _initial(spec, number, vcenter)
        super().__init__(vcenter, spec.name, parent)
        suffix = self.moid.rpartition("-")[2]
        # These know their host; it knows them by the names of their types.
        self.options = type_named("OptionManager")(self, f"EsxHostAdvSettings-{suffix}", spec.version)
        self.network_system = type_named("HostNetworkSystem")(self, f"networkSystem-{suffix}")
        self.nic_manager = type_named("HostVirtualNicManager")(self, f"virtualNicManager-{suffix}")
        self.executer = type_named("ManagedMethodExecuter")(self, f"ManagedMethodExecuter-{suffix}")
        for item in (self.options, self.network_system, self.nic_manager, self.executer):
            vcenter.registry.add(item)
        parent.hosts.append(self)
        vcenter.registry.restructure(parent)

    def networks(self) -> list[Any]:
        """Return the networks that VMs on this host can use."""
        return self.vm_networks

    def contained(self) -> list[Any]:
        """Return nothing: VMs are found by folder and by pool."""
        return []

    def distributed_portgroups(self) -> list[Any]:
        """Return the port groups of the distributed switches that it is on."""
        return list(self.switch.portgroups) if self.switch is not None else []

    def mounted(self) -> list[Any]:
        """Return the datastores that it mounts."""
        return datastore.mounted(self)

    def hardware_versions(self) -> list[int]:
        """Return the virtual hardware versions that it runs."""
        return [4, *range(7, self.hardware + 1)]

    def standard_switches(self) -> set[str]:
        """Return the names of its standard switches."""
        return {"vSwitch0"} if self.network.standard else set()

    def require_connected(self) -> None:
        """Raise the fault of a call to a host that is away."""
        if self.connection == "disconnected":
            raise vmodl.fault.HostNotConnected(msg="The host is not connected.")
        if self.connection != "connected":
            raise vmodl.fault.HostNotReachable(msg="The host is not reachable.")

    def push(self) -> None:
        """Make the whole network configuration real in the host's process, from nothing; HostdError."""
        with self.io:
            self.hostd.call("reset")
            for nic in self.network.vmknics.values():
                self.hostd.call("vmknic_add", **nic.wire())
            for stack in self.network.netstacks.values():
                if stack.gateway:
                    self.hostd.call("default_gateway", netstack=stack.key, gateway=stack.gateway)
                for prefix, gateway in stack.routes:
                    self.hostd.call("route_add", netstack=stack.key, prefix=prefix, gateway=gateway)
            self.push_services()

    def push_services(self) -> None:
        """Tell the host's process which vmkernel NICs carry vMotion, and which NFC."""
        vmotion, nfc = self.network.vmotion(), self.network.nfc()
        self.hostd.call("services", vmotion=[nic.device for nic in vmotion], nfc=[nic.device for nic in nfc])

    def attach(self) -> bool:
        """Connect to the host's process if it is there: push the configuration, then the host is connected."""
        if self.booting or not self.hostd.alive():
            return False
        try:
            self.push()
        except HostdError:
            return False
        self.set_connection("connected")
        return True

    def set_connection(self, state: str) -> None:
        """Set the connection state."""
        with self.vcenter.lock:
            if self.connection != state:
                self.connection = state
                self.vcenter.registry.touch(self, *self.machines.values())

    def RetrieveManagedMethodExecuter(self, call: Call) -> Any:
        """Return the esxcli executer, as the type that clients know it by (vsphere.md 7.1)."""
        del call
        return RawXml(f'<returnval type="ReflectManagedMethodExecuter">{self.executer.moid}</returnval>')

    def EnterMaintenanceMode_Task(  # noqa: D102
        self,
        call: Call,
        timeout: int,
        evacuatePoweredOffVms: Any,
        maintenanceSpec: Any,
    ) -> Any:
        del evacuatePoweredOffVms, maintenanceSpec
        self.require_connected()
        if self.maintenance:
            raise vim.fault.InvalidState(msg="The host is already in maintenance mode.")

        def work(task: Any) -> None:
            host_power.enter_maintenance(self, task, timeout)

        return self.vcenter.tasks.start(call, self, "HostSystem.enterMaintenanceMode", work, cancelable=True)

    def ExitMaintenanceMode_Task(self, call: Call, timeout: int) -> Any:  # noqa: D102
        del timeout
        self.require_connected()
        if not self.maintenance:
            raise vim.fault.InvalidState(msg="The host is not in maintenance mode.")

        def work(task: Any) -> None:
            del task
            with self.vcenter.lock:
                self.maintenance = False
                self.touch()

        return self.vcenter.tasks.start(call, self, "HostSystem.exitMaintenanceMode", work)

    def RebootHost_Task(self, call: Call, force: bool) -> Any:  # noqa: D102
        self.require_connected()
        if not force and not self.maintenance:
            raise vim.fault.InvalidState(msg="The host is not in maintenance mode.")

        def work(task: Any) -> None:
            # unconfirmed: that the task ends when the host has taken the order, not when it is back
            del task
            threading.Thread(target=host_power.reboot, args=(self,), name=f"reboot-{self.name}", daemon=True).start()

        return self.vcenter.tasks.start(call, self, "HostSystem.reboot", work)

    def DisconnectHost_Task(self, call: Call) -> Any:  # noqa: D102
        self.require_connected()
        return self.vcenter.tasks.start(
            call, self, "HostSystem.disconnect", lambda _: self.set_connection("disconnected")
        )

    def ReconnectHost_Task(self, call: Call, cnxSpec: Any, reconnectSpec: Any) -> Any:  # noqa: D102
        del cnxSpec, reconnectSpec
        if self.connection == "connected":
            raise vim.fault.InvalidState(msg="The host is connected.")

        def work(task: Any) -> None:
            del task
            if not self.hostd.alive():
                raise vmodl.fault.HostNotReachable(msg="The host is not reachable.")
            self.set_connection("connected")

        return self.vcenter.tasks.start(call, self, "HostSystem.reconnect", work)

    def document(self) -> dict[str, Any]:
        """Return the host for the witness."""
        return {
            "connection": self.connection,
            "maintenance": self.maintenance,
            "options": {
                key: {"value": value, "effective": self.options.effective[key]}
                for key, value in sorted(self.options.values_now.items())
            },
            **self.network.document(),
        }

    def uptime(self) -> timedelta:
        """Return the time since boot."""
        return now() - self.boot_time


def _initial(spec: HostSpec, number: int, vcenter: Vcenter) -> NetworkState:
    standard = spec.switch == "standard"
    state = NetworkState(standard=standard)
    for key in (DEFAULT_STACK, VMOTION_STACK):
        state.netstacks[key] = Netstack(key=key, congestion_control=spec.congestion_control)
    site = 0 if vcenter.site.name == "source" else 1
    for index, nic in enumerate(spec.vmknics):
        vmknic = Vmknic(
            device=nic.device,
            mac=mac(site, number, index),
            address=nic.address,
            prefix_length=nic.prefix_length,
            mtu=nic.mtu,
            portgroup=nic.portgroup if standard and not nic.opaque else "",
            netstack=nic.netstack,
            gateway=nic.gateway,
            opaque=nic.opaque,
        )
        state.vmknics[nic.device] = vmknic
        state.netstacks.setdefault(nic.netstack, Netstack(key=nic.netstack))
        if standard and not nic.opaque:
            state.portgroups[nic.portgroup] = PortGroup(name=nic.portgroup)
        for service in nic.services:
            if not (service == "vmotion" and nic.netstack == VMOTION_STACK):
                state.selected.setdefault(service, set()).add(nic.device)
    for key, gateway in spec.gateways:
        state.netstacks[key].gateway = gateway
    if standard:
        for name in vcenter.site.networks:
            state.portgroups.setdefault(name, PortGroup(name=name))
    return state
