"""The lab on the screen: its status, and the demo's table beside the field report's own figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lrvmotion.views.text import console, units


def status(found: dict[str, Any]) -> None:
    """Print what `lab status` found: vCenters, hosts with their vMotion vmknics and VMs, relay hosts, the circuit."""
    to = console.out()
    to.print(Text(f"lab {found['name']}", style="bold").append(f"  {found['directory']}", style="not bold dim"))
    for site, entry in found["sites"].items():
        to.print()
        up = Text("running", style="green") if entry["running"] else Text("NOT RUNNING", style="bold red")
        to.print(Text.assemble((site, "bold"), f"  {entry['vcenter']}  ", up), soft_wrap=True)
        state = entry.get("state", {})
        if state:
            to.print(_hosts(state))
        for box, how in entry["relay_hosts"].items():
            to.print(Text.assemble("  relay host ", box, "  ", (how, "green" if how == "running" else "bold red")))
    to.print()
    if not found["net"]:
        to.print("no network is emulated: vCenters and VMs' bytes on loopback")
        return
    _circuit(to, found["wan"])


def _hosts(state: dict[str, Any]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("  host", "vMotion vmknics", "VMs"):
        table.add_column(name, overflow="fold")
    for name, host in state["hosts"].items():
        selected = host["services"].get("vmotion", [])
        nics = [nic for device, nic in host["vmknics"].items() if device in selected or nic["netstack"] == "vmotion"]
        vms = sorted(
            f"{vm} (moving)" if at.get("relocating") else vm
            for vm, at in state["vms"].items()
            if at["host"] == name
        )  # fmt: skip
        unusual = [] if host["connection"] == "connected" else [f" ({host['connection']})"]
        unusual += [" (maintenance)"] if host["maintenance"] else []
        addresses = ", ".join(nic["address"] for nic in nics) or "none"
        table.add_row(escape(f"  {name}{''.join(unusual)}"), addresses, escape(", ".join(vms) or "-"))
    return table


def _circuit(to: Console, wan: dict[str, Any]) -> None:
    """Print the circuit's own report: what it lost on purpose, and how late it was itself."""
    about = wan["wan"]
    loss = {"clean": "no loss", "field": "loss that rises with load (field profile)"}
    kind = loss.get(about["profile"], f"{about['profile']} loss of {about['loss']:.2%}")
    text = f"{units.rate(about['rate_bps'])}, RTT {about['delay_ms'] * 2:g} ms, {kind}"
    console.hang(to, Text("circuit  ", style="bold"), Text(text))
    for name, seen in wan["directions"].items():
        late = seen["lateness"]
        text = (
            f"{units.size(seen['bytes_delivered'])} delivered; lost {seen['loss_ratio']:.2%}, "
            f"{seen['qdrop']} dropped by the full buffer; emulator delay "
            f"p50 {late['p50_ms']:.2f} ms, p99 {late['p99_ms']:.2f} ms"
        )
        console.hang(to, Text(f"  {name.replace('_', ' ')}  "), Text(text))
    streams = wan["vmotion"]
    to.print(f"  vMotion streams: {streams['connections_open']} open, {streams['connections_peak']} at most")


def demo(outcome: dict[str, Any], differences: Sequence[str], wire: dict[str, Any], report: Mapping[str, str]) -> None:
    """Print the demo's table from its JSON document, what did not come back, and the circuit's own report, *wire*.

    *report* has the field report's own figure of each mode, first of the one that the others are compared with.
    """
    to = console.out()
    title = "Three modes over one circuit: 1 Gbit/s, 55 ms, loss that rises with load"
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, header_style="dim", padding=(0, 2, 0, 0),
        pad_edge=False,
    )  # fmt: skip
    for name in ("mode", "vmknics", "streams", "bytes", "time", "Mbit/s", "of link", "ratio", "field report"):
        table.add_column(name, justify="left" if name == "mode" else "right", no_wrap=True)
    first, link = outcome["modes"][next(iter(report))]["mbps"], outcome["link_mbps"]
    for mode, seen in outcome["modes"].items():
        rate = seen["mbps"]
        table.add_row(
            Text(mode, style="bold"), str(seen["vmknics"]), str(seen["streams"]), units.size(seen["bytes"]),
            units.duration(seen["seconds"]), f"{rate:.0f}", f"{rate / link:.0%}", f"{rate / first:.1f}x", report[mode],
        )  # fmt: skip
    to.print()
    to.print(table)
    to.print()
    late = wire["directions"]["source_to_target"]["lateness"]
    to.print(
        f"the circuit itself was late by {late['p50_ms']:.2f} ms (p50), {late['p99_ms']:.2f} ms (p99), in proxy mode"
    )
    to.print(f"settings: {outcome['settings_changed']} changed, {outcome['settings_restored']} restored")
    sha = outcome["state_sha"]
    same = "yes" if sha["before"] == sha["after"] else "NO"
    to.print(f"hosts and relay host as before, by the lab's own witness: {same} (sha256 {sha['after'][:12]})")
    for line in differences[:20]:
        to.print(Text(f"  differs: {line}", style="red"), soft_wrap=True)
    to.print("left behind on this machine: " + ("nothing" if not outcome["left_behind"] else ""))
    for line in outcome["left_behind"]:
        to.print(Text(f"  {line}", style="red"), soft_wrap=True)
