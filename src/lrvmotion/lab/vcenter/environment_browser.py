"""EnvironmentBrowser: which virtual hardware a cluster's hosts run."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from lrvmotion.lab.vcenter.managed_object import ManagedObject

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call

# The newest virtual hardware of each release (VMware KB 2007240).
NEWEST = {"6.0": 11, "6.5": 13, "6.7": 14, "7.0.0": 17, "7.0.1": 18, "7.0": 19, "8.0.0": 20, "8.0": 21, "9.0": 22}


def newest(version: str) -> int:
    """Return the newest virtual hardware version of ESXi *version* ("7.0.3")."""
    return NEWEST.get(version) or NEWEST.get(version.rpartition(".")[0]) or min(NEWEST.values())


class EnvironmentBrowser(ManagedObject):
    """A cluster's."""

    wsdl = "EnvironmentBrowser"
    __slots__ = ("cluster",)

    def __init__(self, cluster: Any, moid: str) -> None:
        super().__init__(cluster.vcenter, moid)
        self.cluster = cluster

    def QueryConfigOptionDescriptor(self, call: Call) -> Any:
        """Return a descriptor for every version that one of the hosts runs, with those hosts."""
        del call
        hosts = {host: host.hardware_versions() for host in self.cluster.hosts}
        numbers = sorted({number for found in hosts.values() for number in found})
        return [
            vim.vm.ConfigOptionDescriptor(
                key=f"vmx-{number:02d}",
                description=f"virtual hardware {number}",
                host=[host.ref for host, found in hosts.items() if number in found],
                createSupported=number >= 7,
                defaultConfigOption=number == numbers[-1],
                runSupported=True,
                upgradeSupported=True,
            )
            for number in numbers
        ]
