"""The lean reader of long answers: what it makes of names and option definitions, whole or cut."""

from __future__ import annotations

import io
import re

import pytest

from lrvmotion.errors import UnreachableError
from lrvmotion.model.host_option import Bounds
from lrvmotion.model.inventory import MoRef
from lrvmotion.vsphere.client import mapped
from lrvmotion.vsphere.host.options import defined
from lrvmotion.vsphere.inventory import lean_parser
from lrvmotion.vsphere.inventory.names import Names, named

HEAD = b"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>
<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval>"""
TAIL = b"</returnval></RetrievePropertiesExResponse></soapenv:Body></soapenv:Envelope>"
ANSWER = (
    HEAD
    + b"""<token>7</token>
<objects><obj type="VirtualMachine">vm-1</obj><propSet><name>name</name><val xsi:type="xsd:string">a%2fb</val></propSet>
</objects><objects><obj type="VirtualMachine">vm-2</obj><missingSet><path>name</path></missingSet></objects>"""
    + TAIL
)
OPTIONS = (
    HEAD
    + b"""<objects><obj type="OptionManager">EsxHostAdvSettings-9</obj><propSet><name>supportedOption</name>
<val xsi:type="ArrayOfOptionDef">
<OptionDef xsi:type="OptionDef"><label>L</label><summary>REQUIRES REBOOT!</summary><key>Net.Queues</key>
<optionType xsi:type="LongOption"><valueIsReadonly>false</valueIsReadonly><min>1</min><max>8</max>
<defaultValue>2</defaultValue></optionType></OptionDef>
<OptionDef xsi:type="OptionDef"><label>L</label><summary>S</summary><key>Misc.Choice</key>
<optionType xsi:type="ChoiceOption"><choiceInfo><label>a</label><summary>b</summary><key>c</key></choiceInfo>
<defaultIndex>0</defaultIndex></optionType></OptionDef>
<OptionDef xsi:type="OptionDef"><label>L</label><summary>S</summary><key>Misc.Int</key>
<optionType xsi:type="IntOption"><min>-1</min><max>9</max><defaultValue>0</defaultValue></optionType></OptionDef>
</val></propSet></objects>"""
    + TAIL
)


def read(text: bytes) -> tuple[Names, str | None]:
    found: Names = []
    token = lean_parser.read(io.BytesIO(text), "objects", lambda element: found.extend(named(element)))
    return found, token


def test_names_and_the_token_for_more():
    """Escapes are undone; a VM whose name is hidden from us is there without one."""
    found = [("a/b", MoRef("VirtualMachine", "vm-1")), ("", MoRef("VirtualMachine", "vm-2"))]
    assert read(ANSWER) == (found, "7")


def test_bounds_of_the_options_that_are_numbers():
    """Type, bounds and default; that a reboot is needed is in the summary's words alone."""
    found: dict[str, Bounds] = {}
    assert lean_parser.read(io.BytesIO(OPTIONS), "OptionDef", lambda element: found.update(defined(element))) is None
    assert found == {
        "Net.Queues": Bounds(type="long", minimum=1, maximum=8, default=2, reboot=True),
        "Misc.Int": Bounds(type="int", minimum=-1, maximum=9, default=0, reboot=False),
    }


def test_prefixes_do_not_matter():
    """A server may name the namespace as it likes."""
    assert read(re.sub(rb"<(/?)(?!/|soapenv|\?)", rb"<\1v:", ANSWER.replace(b"xmlns=", b"xmlns:v="))) == read(ANSWER)


@pytest.mark.parametrize("length", [0, 60, len(ANSWER) // 2, len(ANSWER) - 3])
def test_an_answer_cut_short_is_no_answer(length):
    """Wherever it ends: said so, and safe to try again."""
    with pytest.raises(UnreachableError, match="ended half-way"), mapped("source: inventory"):
        read(ANSWER[:length])
