"""The lean reader of names: what it makes of an answer, whole or cut, and how little it costs."""

from __future__ import annotations

import io
import re
from xml.parsers.expat import ExpatError

import pytest

from lrvmotion.errors import UnreachableError
from lrvmotion.inventory import MoRef
from lrvmotion.vsphere import names
from lrvmotion.vsphere.stub import mapped

ANSWER = b"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>
<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><token>7</token>
<objects><obj type="VirtualMachine">vm-1</obj><propSet><name>name</name><val xsi:type="xsd:string">a%2fb</val></propSet>
</objects><objects><obj type="VirtualMachine">vm-2</obj><missingSet><path>name</path></missingSet></objects>
</returnval></RetrievePropertiesExResponse></soapenv:Body></soapenv:Envelope>"""


def test_names_and_the_token_for_more():
    """Escapes are undone; a VM whose name is hidden from us is there without one."""
    found: names.Names = []
    assert names._read(io.BytesIO(ANSWER), found) == "7"
    assert found == [("a/b", MoRef("VirtualMachine", "vm-1")), ("", MoRef("VirtualMachine", "vm-2"))]


def test_prefixes_do_not_matter():
    """A server may name the namespace as it likes."""
    text = re.sub(rb"<(/?)(?!/|soapenv|\?)", rb"<\1v:", ANSWER.replace(b"xmlns=", b"xmlns:v="))
    found: names.Names = []
    assert names._read(io.BytesIO(text), found) == "7"
    assert [name for name, _ in found] == ["a/b", ""]


@pytest.mark.parametrize("length", [0, 60, len(ANSWER) // 2, len(ANSWER) - 3])
def test_an_answer_cut_short_is_no_answer(length):
    """Wherever it ends: said so, and safe to try again."""
    with pytest.raises(UnreachableError, match="ended half-way"), mapped("source: inventory"):
        names._read(io.BytesIO(ANSWER[:length]), [])
    with pytest.raises(ExpatError):
        names._read(io.BytesIO(ANSWER[:length]), [])
