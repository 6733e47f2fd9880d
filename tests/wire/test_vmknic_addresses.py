"""vMotion vmknics without a fixed IPv4 address: what they are is said, and what follows from it."""

from __future__ import annotations

import os

import pytest

from lab_client import Lab
from lrvmotion.errors import RefusedError
from lrvmotion.model.setting import SettingKey, string
from wire.no_net_lab import no_net_lab
from wire.plan_findings import findings

HOST = {"host": "esx-a1", "device": "vmk1"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", name=f"k{os.getpid()}") as up:
        yield up


@pytest.fixture
def reset(lab):
    yield
    lab.control("source", "vmknic_set", **HOST)


@pytest.mark.parametrize(
    ("state", "words"),
    [({"ipv6": "fd00::9"}, "vmk1 has no IPv4 address, only IPv6"), ({"dhcp": True, "lease": False}, "no DHCP server")],
)
def test_e15_why_a_vmotion_vmknic_cannot_be_used_is_said(lab, reset, state, words):
    """The service is on: that it should be enabled would be wrong."""
    lab.control("source", "vmknic_set", **HOST, **state)
    found = findings(lab)["host-no-vmotion"]
    assert words in found["summary"]
    assert "enable" not in found["hint"]


def test_e15_a_dhcp_address_is_named_where_it_is_a_name(lab, reset):
    """Where settings are changed: native mode makes vmknics and proxy mode leads this address to a relay."""
    lab.control("source", "vmknic_set", **HOST, dhcp=True)
    assert "vmknic-dhcp" not in findings(lab)
    found = findings(lab, mode="native")["vmknic-dhcp"]
    assert (found["severity"], found["subject"]) == ("warning", "source/esx-a1")
    assert "by DHCP" in found["summary"]


def test_e15_the_gateway_of_a_dhcp_vmknic_is_not_written():
    """The API takes no address together with DHCP."""
    with no_net_lab() as other:
        host = other.host("source", "esx-a1")
        address = next(nic.address for nic in other.inventory("source").host("esx-a1").vmotion_vmknics)
        other.control("source", "vmknic_set", host="esx-a1", device="vmk1", dhcp=True)
        before = other.control("source", "calls")["writes"]
        with pytest.raises(RefusedError, match="by DHCP"):
            host.write(SettingKey.of("gateway", address), string("10.88.0.77"))
        assert other.control("source", "calls")["writes"] == before
