"""The tables of inventory.py: what a plan costs by the size of the inventory; text, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.table import Bar

Document = Mapping[str, Any]


def facts(document: Document) -> str:
    """Return what a reader needs to know of the machine and the run."""
    return (
        f"{document['machine']}, kernel {document['kernel']}, {document['system']}, Python {document['python']}. "
        f"Medians of {document['repeats']}; the peak is the highest. Attribute by attribute: {document['naive_s']} s.\n"
    )


def figures(document: Document) -> str:
    """Return the figures as Markdown."""
    few = document["few"]
    rows: list[tuple[Any, ...]] = [
        ("plan of", "VMs in each vCenter", "CPU, s", "wall, s", "peak, MB", "calls", "of them waits for tasks"),
        ("---:",) * 7,
    ]
    for count, prefix in ((5, ""), (500, "plan500_")):
        cost = [document[f"plan{count}_{name}"] for name in ("cpu_s", "wall_s", "mb")]
        for made, figures in ((document, cost), (few, [""] * 3)):
            rows.append(
                (
                    document.get("many", 500) if prefix else count,
                    f"{made['vms']:,}",
                    *figures,
                    made[f"{prefix}calls"],
                    made[f"{prefix}waits"],
                )
            )
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows) + "\n"


def _asked(document: Document, prefix: str) -> int:
    return int(document[f"{prefix}calls"] - document[f"{prefix}waits"])


def bars(document: Document) -> list[Bar]:
    """Return what is asked of the figures, and whether they hold."""
    few, many = document["few"], document.get("many", 500)
    grown = max(_asked(document, prefix) - _asked(few, prefix) for prefix in ("", "plan500_"))
    return [
        Bar(text="plan of 5, CPU s", bound=2.5, value=document["plan5_cpu_s"], at_most=True),
        Bar(text="plan of 5, peak MB", bound=150, value=document["plan5_mb"], at_most=True),
        Bar(text=f"plan of {many}, CPU s", bound=10, value=document["plan500_cpu_s"], at_most=True),
        Bar(text="calls (waits apart) that ten times the VMs add", bound=0, value=grown, at_most=True),
        Bar(text="attribute by attribute / plan of 5, wall", bound=20, value=document["naive_ratio"]),
    ]
