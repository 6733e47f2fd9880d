"""SearchIndex: objects by uuid, path, name, address."""

# ruff: noqa: ANN401, N803 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrvmotion.lab.vcenter.managed_object import ManagedObject

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call


class SearchIndex(ManagedObject):
    """Looks through the model; nothing is indexed."""

    wsdl = "SearchIndex"
    __slots__ = ()

    def _machines(self, uuid: str, *, instance: bool) -> list[Any]:
        wanted = uuid.lower()
        return [vm for vm in self.vcenter.machines() if (vm.instance_uuid if instance else vm.uuid) == wanted]

    def _guests(self) -> list[Any]:
        return [vm for vm in self.vcenter.machines() if vm.traits.tools and vm.powered_on]

    def FindAllByUuid(  # noqa: D102
        self,
        call: Call,
        datacenter: Any,
        uuid: str,
        vmSearch: bool,
        instanceUuid: Any,
    ) -> Any:
        del call, datacenter
        return self._machines(uuid, instance=bool(instanceUuid)) if vmSearch else []

    def FindByUuid(  # noqa: D102
        self,
        call: Call,
        datacenter: Any,
        uuid: str,
        vmSearch: bool,
        instanceUuid: Any,
    ) -> Any:
        found = self.FindAllByUuid(call, datacenter, uuid, vmSearch, instanceUuid)
        return found[0] if found else None

    def FindByInventoryPath(self, call: Call, inventoryPath: str) -> Any:  # noqa: D102
        del call
        item: Any = self.vcenter.root
        for part in filter(None, inventoryPath.split("/")):
            item = next((child for child in item.contained() if child.name == part), None)
            if item is None:
                return None
        return item

    def FindChild(self, call: Call, entity: Any, name: str) -> Any:  # noqa: D102
        del call
        parent = self.vcenter.registry.get(entity)
        return next((child for child in parent.contained() if child.name == name), None)

    def FindByDnsName(self, call: Call, datacenter: Any, dnsName: str, vmSearch: bool) -> Any:  # noqa: D102
        found = self.FindAllByDnsName(call, datacenter, dnsName, vmSearch)
        return found[0] if found else None

    def FindAllByDnsName(self, call: Call, datacenter: Any, dnsName: str, vmSearch: bool) -> Any:  # noqa: D102
        del call, datacenter
        if vmSearch:
            return [vm for vm in self._guests() if vm.traits.dns_name.lower() == dnsName.lower()]
        return [host for host in self.vcenter.hosts() if host.name == dnsName]

    def FindByIp(self, call: Call, datacenter: Any, ip: str, vmSearch: bool) -> Any:  # noqa: D102
        found = self.FindAllByIp(call, datacenter, ip, vmSearch)
        return found[0] if found else None

    def FindAllByIp(self, call: Call, datacenter: Any, ip: str, vmSearch: bool) -> Any:
        """Return what has the address: a VM's is "the one returned from VMware tools" (API reference)."""
        del call, datacenter
        if vmSearch:
            return [vm for vm in self._guests() if vm.traits.address == ip]
        return [
            host for host in self.vcenter.hosts() if any(nic.address == ip for nic in host.network.vmknics.values())
        ]
