"""ServiceInstance: the way in, and the single managers that it names."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vim

from lrvmotion.lab.vcenter.authorization_manager import AuthorizationManager
from lrvmotion.lab.vcenter.clock import now
from lrvmotion.lab.vcenter.crypto_manager import CryptoManagerKmip
from lrvmotion.lab.vcenter.custom_fields_manager import CustomFieldsManager
from lrvmotion.lab.vcenter.license_manager import LicenseManager
from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values
from lrvmotion.lab.vcenter.option_manager import VpxSettings
from lrvmotion.lab.vcenter.performance_manager import PerformanceManager
from lrvmotion.lab.vcenter.property_collector import PropertyCollector
from lrvmotion.lab.vcenter.search_index import SearchIndex
from lrvmotion.lab.vcenter.session_manager import SessionManager
from lrvmotion.lab.vcenter.task import TaskManager
from lrvmotion.lab.vcenter.view_manager import ViewManager
from lrvmotion.lab.vcenter.vm_provisioning_checker import VirtualMachineProvisioningChecker

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call, Vcenter


class ServiceInstance(ManagedObject):
    """The root object; its managers' moIds are the same in every vCenter, as real ones are."""

    wsdl = "ServiceInstance"
    values: ClassVar[Values] = {
        "content": lambda self: self.content(),
        "serverClock": lambda self: self.time(),
    }
    __slots__ = ("managers",)

    def __init__(self, vcenter: Vcenter) -> None:
        super().__init__(vcenter, "ServiceInstance")
        self.managers: dict[str, Any] = {
            "propertyCollector": PropertyCollector(vcenter, "propertyCollector"),
            "viewManager": ViewManager(vcenter, "ViewManager"),
            "setting": VpxSettings(vcenter, "VpxSettings"),
            "sessionManager": SessionManager(vcenter, "SessionManager"),
            "authorizationManager": AuthorizationManager(vcenter, "AuthorizationManager"),
            "perfManager": PerformanceManager(vcenter, "PerfMgr"),
            "taskManager": TaskManager(vcenter, "TaskManager"),
            "licenseManager": LicenseManager(vcenter, "LicenseManager"),
            "cryptoManager": CryptoManagerKmip(vcenter, "CryptoManager"),
            "customFieldsManager": CustomFieldsManager(vcenter, "CustomFieldsManager"),
            "searchIndex": SearchIndex(vcenter, "SearchIndex"),
            "vmProvisioningChecker": VirtualMachineProvisioningChecker(vcenter, "ProvChecker"),
        }
        for item in (self, *self.managers.values()):
            vcenter.registry.add(item)
        vcenter.content = self
        vcenter.sessions = self.managers["sessionManager"]
        vcenter.tasks = self.managers["taskManager"]

    def about(self) -> Any:
        """Return what this vCenter is."""
        own = self.vcenter.estate.get("inventory", {"version": "7.0.3", "build": "21477706", "api_version": "7.0.3.0"})
        return vim.AboutInfo(
            name="VMware vCenter Server",
            fullName=f"VMware vCenter Server {own['version']} (simulated: {self.vcenter.site.vcenter})",
            vendor="VMware, Inc.",
            version=own["version"],
            build=own["build"],
            osType="linux-x64",
            productLineId="vpx",
            apiType=self.vcenter.api_type,
            apiVersion=own["api_version"],
            instanceUuid=self.vcenter.instance_uuid,
        )

    def content(self) -> Any:
        """Return the ServiceContent."""
        return vim.ServiceInstanceContent(
            rootFolder=self.vcenter.root.ref,
            about=self.about(),
            **{name: item.ref for name, item in self.managers.items()},
        )

    def drop_session(self, key: str) -> None:
        """Forget what the session *key* owned: filters, collectors, views."""
        for item in list(self.vcenter.registry.of_type("PropertyCollector")):
            item.drop_session(key)
        self.managers["viewManager"].drop_session(key)

    def RetrieveServiceContent(self, call: Call) -> Any:
        """Return the ServiceContent."""
        del call
        return self.content()

    def CurrentTime(self, call: Call) -> Any:
        """Return the server's time."""
        del call
        return self.time()

    def time(self) -> datetime:
        """Return the time of this vCenter's clock, which the lab may have set wrong."""
        return now() + timedelta(seconds=self.vcenter.ahead_s)
