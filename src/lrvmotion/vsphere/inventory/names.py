"""The names of all objects of one type in one call, however many there are."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from urllib.parse import unquote

from pyVmomi import vim
from pyVmomi.SoapAdapter import SoapStubAdapter
from pyVmomi.VmomiSupport import ManagedObject

from lrvmotion.model.inventory import MoRef
from lrvmotion.vsphere.client import filter_spec, in_view
from lrvmotion.vsphere.inventory import lean_parser
from lrvmotion.vsphere.inventory.lean_parser import NS

Names = list[tuple[str, MoRef]]


def names_in(
    stub: SoapStubAdapter, content: vim.ServiceInstanceContent, view: vim.view.ContainerView, kind: type[ManagedObject]
) -> Names:
    """Return (name, reference) of the objects of *kind* in *view*; one whose name we may not see has the name "".

    Raises pyVmomi's faults.
    """
    found: Names = []
    spec = filter_spec([in_view(view)], {kind: ("name",)})
    lean_parser.retrieve(stub, content, spec, "objects", lambda element: found.extend(named(element)))
    return found


def named(element: ET.Element) -> Names:
    """Return the name and reference in one ObjectContent, nothing where it is of no object."""
    obj = element.find(f"{NS}obj")
    if obj is None:
        return []
    name = element.findtext(f"{NS}propSet/{NS}val", "")
    return [(unquote(name), MoRef(obj.get("type", ""), obj.text or ""))]
