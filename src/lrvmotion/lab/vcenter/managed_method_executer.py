"""ReflectManagedMethodExecuter: the way esxcli takes through vCenter (vsphere.md 7)."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from pyVmomi import vmodl

from lrvmotion.lab.vcenter import esxcli
from lrvmotion.lab.vcenter.managed_object import ManagedObject
from lrvmotion.lab.vcenter.soap_codec import RawXml
from lrvmotion.lab.vcenter.vcenter import unlocked

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.host_system import HostSystem
    from lrvmotion.lab.vcenter.vcenter import Call


class ManagedMethodExecuter(ManagedObject):
    """Runs esxcli commands of one host. pyVmomi has no such type: its parts are read and written here as XML."""

    wsdl = "ReflectManagedMethodExecuter"
    __slots__ = ("host",)

    def __init__(self, host: HostSystem, moid: str) -> None:
        super().__init__(host.vcenter, moid)
        self.host = host

    @classmethod
    def vim_type(cls) -> Any:
        """Return the base of all: no property of it can be asked for."""
        from pyVmomi import VmomiSupport

        return VmomiSupport.ManagedObject

    @unlocked
    def ExecuteSoap(  # noqa: D102
        self, call: Call, moid: str, version: str, method: str, argument: list[dict[str, str]] | None = None
    ) -> Any:
        del call, version
        self.host.require_connected()
        namespace, _, name = method.removeprefix("vim.EsxCLI.").rpartition(".")
        if moid != f"ha-cli-handler-{namespace.replace('.', '-')}":
            raise vmodl.fault.ManagedObjectNotFound(msg=f"No handler {moid}")
        command = esxcli.COMMANDS.get((namespace, name))
        if command is None:
            raise vmodl.fault.MethodNotFound(method=method, msg=f"Method not found: {method}")
        given: dict[str, str] = {}
        order = -1
        for index, item in enumerate(argument or []):
            # declared order is alphabetical and enforced (vsphere.md 7.1)
            position = command.parameters.index(item["name"]) if item["name"] in command.parameters else -1
            if position <= order:
                raise vmodl.fault.InvalidArgument(
                    invalidProperty=f"argument[{index}]",
                    msg=f"A specified parameter was not correct: argument[{index}]",
                )
            order = position
            given[item["name"]] = _text(item.get("val", ""))
        try:
            body = command.run(self.host, given)
        except esxcli.CliError as error:
            fault = f"<faultMsg>{escape(str(error))}</faultMsg>"
            return RawXml(f"<returnval><fault>{fault}</fault></returnval>")
        return RawXml(f"<returnval><response>{escape(body)}</response></returnval>")


def _text(value: str) -> str:
    if "<!DOCTYPE" in value:
        raise vmodl.fault.InvalidRequest(msg="A document type declaration is not accepted")
    try:
        return ET.fromstring(value).text or ""  # noqa: S314 - no DOCTYPE, so no entities
    except ET.ParseError:
        raise vmodl.fault.InvalidArgument(
            invalidProperty="argument.val", msg="A specified parameter was not correct: argument.val"
        ) from None
