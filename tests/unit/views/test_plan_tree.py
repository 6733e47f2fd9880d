"""The plan on the screen: host changes as a tree that fits 80 columns, bytes by path, plain lines off a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from fakes import change_of, host, inventory, vm
from lrvmotion.model.setting import ABSENT, Value, document, string
from lrvmotion.plan import data_paths
from lrvmotion.plan.plan import Plan
from lrvmotion.views.plan import plan_tree
from worlds import B1, TARGET, plan, source

HOST = "source/esx-a1.a-rather-long-domain.example.com"
CHANGES = (
    change_of(
        HOST, "vmknic/10.88.0.20", ABSENT,
        document(portgroup="lrvmotion-abcdef-1", netstack="defaultTcpipStack", prefix_length=24, mtu=9000),
        "native mode spreads streams over 5 vmknics, of which this host has but one",
    ),
    change_of(
        HOST, "option/Net.TcpipRxDispatchQueues", Value("long", 2), Value("long", 5), "one queue is one core",
        reboot=True,
    ),
    change_of("target/esx-b1", "route/vmotion/10.99.0.9/32", string("a"), ABSENT, "why"),
)  # fmt: skip


def shown(made: Plan, *, width: int = 80, terminal: bool = True) -> list[str]:
    to = Console(width=width, file=io.StringIO(), force_terminal=terminal, color_system=None)
    plan_tree.changes(to, made)
    plan_tree.paths(to, made)
    return to.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_tree_fits_the_terminal(width):
    """No line is wider, each reason is told once, reboots are called out."""
    lines = shown(Plan(run="abcdef", owner_id="abcdef", mode="native", changes=CHANGES), width=width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for part in ("3 settings to change, on 2 machines", "├── ", "+ vmknic 10.88.0.20", "2 → 5", "needs a reboot"):
        assert part in text
    assert "- route 10.99.0.9/32 (vmotion)" in text
    assert "! Net.TcpipRxDispatchQueues: takes effect only after a reboot of" in " ".join(text.split())


def test_off_a_terminal_it_is_a_line_a_change():
    """Without guides, to be searched."""
    lines = shown(Plan(run="abcdef", owner_id="abcdef", mode="native", changes=CHANGES), width=160, terminal=False)
    assert not any("├" in line for line in lines)
    assert sum(line.startswith(("  + ", "  ~ ", "  - ")) for line in lines) == 3


def test_bytes_are_shown_by_path_with_the_vmknics_that_carry_them():
    """Hot ones over vMotion's, the new one included; cold ones over management's, or the provisioning ones."""
    made = plan(vm("vm1", "a1"), vm("vm2", "a1", power_state="poweredOff"))
    cold = replace(made.migrations[1], hot_bytes=0, cold_bytes=2**31)
    made = replace(made, migrations=(made.migrations[0], cold), relay_by_host=(("a1", "relay-a"),))
    made = replace(made, data_paths=data_paths.find(made, source(), TARGET))
    lines = [" ".join(line.split()) for line in shown(made, width=160, terminal=False)][-2:]
    assert lines == [
        "vMotion 1 B a1 vmk1 10.88.0.9, new 10.88.0.20 → b1 vmk1 10.99.0.9, through relay-a",
        "NFC 2.0 GiB a1 vmk0 192.168.1.10 → b1 vmk0 192.168.1.10, TCP 902",
    ]


def test_a_provisioning_vmknic_carries_nfc():
    """Else management does (KB 342209)."""
    nic = replace(B1.vmknics[0], device="vmk2", services=frozenset({"vSphereProvisioning"}))
    target = inventory("target", (host("b1", "10.99.0.9", vmknics=(*B1.vmknics, nic)),))
    (way,) = data_paths.find(plan(vm("vm1", "a1")), source(), target)
    assert way.nfc_to == ("vmk2 192.168.1.10",)
