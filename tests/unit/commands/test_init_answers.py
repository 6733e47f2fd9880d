"""What people paste where init asks for a vCenter."""

from __future__ import annotations

import pytest

from lrvmotion.commands.init import vcenter_at


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("vcsa-a.example.com", {"vcenter": "vcsa-a.example.com"}),
        ("https://vcsa-a.example.com/ui/", {"vcenter": "vcsa-a.example.com"}),
        ("https://vcsa-a.example.com:8443/ui/", {"vcenter": "vcsa-a.example.com", "port": 8443}),
        ("https://vcsa-a.example.com:443/ui", {"vcenter": "vcsa-a.example.com"}),
        ("vcsa-a.example.com:8443", {"vcenter": "vcsa-a.example.com", "port": 8443}),
        ("VCSA-A:8443", {"vcenter": "vcsa-a", "port": 8443}),
        ("10.1.2.3:444", {"vcenter": "10.1.2.3", "port": 444}),
        ("https://[fd00::1]:8443/ui", {"vcenter": "fd00::1", "port": 8443}),
        ("fd00::1", {"vcenter": "fd00::1"}),
        ("fd00::1:8443", {"vcenter": "fd00::1:8443"}),
        ("vcsa:port", {"vcenter": "vcsa:port"}),
        ("vcsa:99999", {"vcenter": "vcsa:99999"}),
        ("https://", {"vcenter": "https://"}),
    ],
)
def test_a_url_or_host_and_port_is_taken_apart(text, found):
    """The port is not lost; what is no host is left for the configuration's own check to refuse."""
    assert vcenter_at(text) == found
