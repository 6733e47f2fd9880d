"""VMs as a table, as one JSON document, or as a CSV file that --csv reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lrvmotion.config.vm_csv import COLUMNS
from lrvmotion.model.listed_vm import ListedVm
from lrvmotion.views.plan.plan import finding_json
from lrvmotion.views.text import console, units, words

SCHEMA = 1
_POWER = {"poweredOn": "on", "poweredOff": "off"}


def show(vms: Sequence[ListedVm]) -> None:
    """Print a line a VM, and how many can move."""
    to = console.out()
    table = Table(box=None, header_style="dim", padding=(0, 1), pad_edge=False)
    for name in ("VM", "path", "size", "power", "host", "can move"):
        table.add_column(name, justify="right" if name == "size" else "left", overflow="fold")
    for vm in vms:
        verdict = Text("yes", style="green") if vm.can_move else Text(vm.reason, style="dim" if vm.at_target else "red")
        power = _POWER.get(vm.power, vm.power)
        table.add_row(
            escape(vm.name), escape(vm.path or vm.address), units.size(vm.storage_bytes), power, escape(vm.host or "-"),
            verdict,
        )  # fmt: skip
    to.print(table)
    able, there = sum(vm.can_move for vm in vms), sum(vm.at_target for vm in vms)
    size = units.size(sum(vm.storage_bytes for vm in vms if vm.can_move))
    text = f"{able} of {words.count(len(vms), 'VM')} can move ({size}), {there} at the target already"
    to.print(f"{text}. 'lrvmotion plan' also asks vCenter.")


def document(vms: Sequence[ListedVm]) -> dict[str, Any]:
    """Return the VMs as a JSON object; sizes in bytes."""
    return {
        "schema": SCHEMA,
        "vms": [
            {
                "vm": vm.address, "name": vm.name, "path": vm.path, "instance_uuid": vm.instance_uuid, "ref": vm.ref,
                "host": vm.host, "cluster": vm.cluster, "power": vm.power, "storage_bytes": vm.storage_bytes,
                "memory_bytes": vm.memory_bytes, "at_target": vm.at_target, "run": vm.run or None,
                "can_move": vm.can_move, "reason": vm.reason or None,
                "findings": [finding_json(one) for one in vm.findings],
            }
            for vm in vms
        ],
    }  # fmt: skip


def template(vms: Sequence[ListedVm]) -> str:
    """Return the file for --csv: those that can move, with what they are in its column *note*, which is not read."""
    made = io.StringIO()
    writer = csv.DictWriter(made, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for vm in vms:
        if vm.can_move:
            power = _POWER.get(vm.power, vm.power)
            note = f"{vm.path or vm.name}, {units.size(vm.storage_bytes)}, {power}, {vm.host}"
            writer.writerow({"vm": vm.address, "note": note})
    return made.getvalue()
