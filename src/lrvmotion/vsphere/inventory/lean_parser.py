"""One call whose long answer is taken apart element by element, without pyVmomi's objects.

pyVmomi makes an object of everything it reads (vsphere.md 13.2). Here its connection, cookie and certificate carry the
call and ElementTree reads: for 20,000 names 0.19 s of CPU instead of 0.81, for a host's 1,200 option definitions 10 ms
instead of 57.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from http.client import HTTPException
from io import BufferedIOBase
from typing import Any
from xml.parsers.expat import ExpatError

from pyVmomi import SoapAdapter, VmomiSupport, vim, vmodl
from pyVmomi.SoapAdapter import SoapStubAdapter
from pyVmomi.VmomiSupport import ManagedObject

from lrvmotion.model.inventory import MoRef

NS = "{urn:vim25}"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
Take = Callable[[ET.Element], None]


def retrieve(
    stub: SoapStubAdapter,
    content: vim.ServiceInstanceContent,
    spec: vmodl.query.PropertyCollector.FilterSpec,
    tag: str,
    take: Take,
) -> None:
    """Give each element *tag* of what the FilterSpec *spec* selects to *take*, which keeps nothing of it.

    The answer is not asked for in pages; one that the server's policy cuts all the same is read to its end. Raises
    pyVmomi's faults.
    """
    collector = content.propertyCollector
    options = vmodl.query.PropertyCollector.RetrieveOptions()
    token = _call(stub, collector, "RetrievePropertiesEx", [[spec], options], tag, take)
    while token:
        token = _call(stub, collector, "ContinueRetrievePropertiesEx", [token], tag, take)


def _call(
    stub: SoapStubAdapter, managed: ManagedObject, method: str, arguments: list[Any], tag: str, take: Take
) -> str | None:
    """Make one call as SoapStubAdapter.InvokeMethod does; return the token for more."""
    info = VmomiSupport.GetWsdlMethod("urn:vim25", method).info
    headers = {"Cookie": stub.cookie, "SOAPAction": stub.versionId, "Content-Type": "text/xml; charset=UTF-8"}
    request = stub.SerializeRequest(managed, info, arguments)
    connection = stub.GetConnection()
    whole = False
    try:
        connection.request("POST", stub.path, request, headers)
        response = connection.getresponse()
        if response.status == 500:
            fault = SoapAdapter.SoapResponseDeserializer(stub).Deserialize(response, info.result)
            raise fault
        if response.status != 200:
            message = f"{response.status} {response.reason}"
            raise HTTPException(message)
        token = read(response, tag, take)
        response.read()
        whole = True
        return token
    finally:
        if whole:
            stub.ReturnConnection(connection)
        else:
            connection.close()
            stub.DropConnections()  # the idle ones are as likely to be dead


def subject(content: ET.Element) -> MoRef:
    """Return the object that an ObjectContent is of, one without kind and id where it does not say."""
    found = content.find(f"{NS}obj")
    return MoRef(found.get("type", ""), found.text or "") if found is not None else MoRef("", "")


def read(body: BufferedIOBase, tag: str, take: Take) -> str | None:
    """Give each element *tag* in *body* to *take*, and return the token for more; ExpatError where it ends early."""
    token = None
    try:
        for _, element in ET.iterparse(body):  # noqa: S314 - from the pinned server, as pyVmomi's own parser takes it
            if element.tag == NS + tag:
                take(element)
                element.clear()
            elif element.tag == f"{NS}token":
                token = element.text
    except ET.ParseError as error:
        raise ExpatError(str(error)) from None
    return token
