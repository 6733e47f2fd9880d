"""The lab on the screen: its status, and the demo's table beside the field report's own figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from lrvmotion.views import console, units

# The field report's own figures on 10 Gbit/s, 55 ms: stock "a few hundred megabits", native 2.4, socat 4+ Gbit/s.
REPORT = {"stock": "2-5 %", "native": "24 %", "proxy": "40 % (socat)"}


def status(found: dict[str, Any]) -> None:
    """Print what `lab status` found."""
    to = console.out()
    to.print(Text(f"lab {found['name']}: {found['directory']}", style="bold"))
    if not found["net"]:
        to.print("no network is emulated")
    for site, entry in found["sites"].items():
        to.print(f"{site}: {entry['vcenter']} {'running' if entry['running'] else 'NOT RUNNING'}", soft_wrap=True)
        state = entry.get("state", {})
        for name, host in state.get("hosts", {}).items():
            vms = [vm for vm, at in state.get("vms", {}).items() if at.get("host") == name]
            nics = len(host.get("vmknics", []))
            to.print(f"  {name}: {nics} vmknics; VMs: {', '.join(sorted(vms)) or '-'}", soft_wrap=True)
        for box, how in entry["boxes"].items():
            to.print(f"  {box}: {how}")


def demo(outcome: dict[str, Any], differences: Sequence[str]) -> None:
    """Print the demo's table from its JSON document; *differences* are lines of what did not come back."""
    to = console.out()
    title = "Three modes over one circuit: 1 Gbit/s, 55 ms, loss that rises with load"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
    for name in ("mode", "vmknics", "streams", "bytes", "time", "Mbit/s", "of link", "ratio", "field report"):
        table.add_column(name, justify="left" if name == "mode" else "right", no_wrap=True)
    stock, link = outcome["modes"]["stock"]["mbps"], outcome["link_mbps"]
    for mode, seen in outcome["modes"].items():
        rate = seen["mbps"]
        table.add_row(
            mode, str(seen["vmknics"]), str(seen["streams"]), units.size(seen["bytes"]),
            units.duration(seen["seconds"]), f"{rate:.0f}", f"{rate / link:.0%}", f"{rate / stock:.1f}x", REPORT[mode],
        )  # fmt: skip
    to.print(table)
    to.print(f"settings: {outcome['settings_changed']} changed, {outcome['settings_restored']} restored")
    sha = outcome["state_sha"]
    same = "yes" if sha["before"] == sha["after"] else "NO"
    to.print(f"hosts and box as before, by the lab's own witness: {same} ({sha['after'][:12]})")
    for line in differences[:20]:
        to.print(Text(f"  differs: {line}", style="red"), soft_wrap=True)
    to.print("left behind on this machine: " + ("nothing" if not outcome["left_behind"] else ""))
    for line in outcome["left_behind"]:
        to.print(Text(f"  {line}", style="red"), soft_wrap=True)
