"""The tables of fleet.py: what a long run of many VMs costs the client, and what the vCenters saw; no processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from bench.table import Bar

Document = Mapping[str, Any]
LEAST = 20  # samples, of which a tenth is early and a tenth late


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The client at one moment: CPU seconds since it began, resident MB, VMs that run and that have ended."""

    at_s: float
    cpu_s: float
    mb: float
    running: int
    ended: int


def moving(samples: Sequence[Sample], vms: int) -> list[Sample]:
    """Return the samples from the first in which a VM moves to the last before all have ended."""
    begun = next((number for number, sample in enumerate(samples) if sample.running or sample.ended), len(samples))
    over = next((number for number, sample in enumerate(samples) if sample.ended >= vms), len(samples))
    return list(samples[begun:over])


def cost(samples: Sequence[Sample], least: int = LEAST) -> dict[str, float]:
    """Return the client's share of a core in percent, and its memory early and late; ValueError for a short run."""
    if len(samples) < least:
        message = f"{len(samples)} samples are too few: the run must be longer"
        raise ValueError(message)
    shares = [100 * (after.cpu_s - before.cpu_s) / (after.at_s - before.at_s) for before, after in pairwise(samples)]
    tenth = max(len(samples) // 10, 1)
    early, late = samples[tenth : 2 * tenth], samples[-tenth:]
    seconds = samples[-1].at_s - samples[0].at_s
    return {
        "seconds": round(seconds, 1),
        "cpu_percent": round(100 * (samples[-1].cpu_s - samples[0].cpu_s) / seconds, 1),
        "cpu_percent_median": round(median(shares), 1),
        "cpu_percent_most": round(max(shares), 1),
        "mb_early": round(median(sample.mb for sample in early), 1),
        "mb_late": round(median(sample.mb for sample in late), 1),
        "mb_peak": round(max(sample.mb for sample in samples), 1),
    }


def most_at_once(tasks: Iterable[Mapping[str, Any]], key: str) -> dict[str, int]:
    """Return how many relocates of vCenter's own task log held each of *key* ("hosts", "datastores") at once, at most.

    Of hosts it has one a site, of datastores all that home and disks are on.
    A task holds them from when it was queued until it completed, in ISO 8601. One that ends as another begins does not
    count with it. Those of the source come first, with "source " before their name.
    """
    changes: list[tuple[str, int, str]] = []
    for task in tasks:
        for site, held in zip(("source", "target"), task[key], strict=False):
            for name in [held] if isinstance(held, str) else held:
                changes.append((task["queued"], 1, f"{site} {name}"))
                changes.append((task["completed"], -1, f"{site} {name}"))
    count: dict[str, int] = {}
    most: dict[str, int] = {}
    for _, change, name in sorted(changes):
        count[name] = count.get(name, 0) + change
        most[name] = max(most.get(name, 0), count[name])
    return most


SHOWN = {"events": "events in a file", "screen": "live screen, 120 x 40"}


def facts(document: Document) -> str:
    """Return what a reader needs to know of the machine and the run."""
    return (
        f"{document['machine']}, kernel {document['kernel']}, {document['system']}, Python {document['python']}. "
        f"{document['vms']} VMs of {document['mib']} MiB over {document['hosts']} + {document['hosts']} hosts and "
        f"{document['stores']} + {document['stores']} datastores, which the same machine simulates.\n"
    )


def figures(document: Document) -> str:
    """Return the figures as Markdown."""
    rows: list[tuple[Any, ...]] = [
        ("client with", "s", "VMs a minute", "CPU, % of a core", "median second", "worst", "memory early, MB", "late",
         "peak", "calls"),
        (":---", *("---:",) * 9),
    ]  # fmt: skip
    for name, run in document["runs"].items():
        shares = (run["cpu_percent"], run["cpu_percent_median"], run["cpu_percent_most"])
        memory = (run["mb_early"], run["mb_late"], run["mb_peak"])
        rows.append((SHOWN[name], run["seconds"], run["vms_a_minute"], *shares, *memory, f"{run['calls']:,}"))
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows) + "\n"


def bars(document: Document) -> list[Bar]:
    """Return what is asked of the worse of the runs, and whether it holds."""
    runs = document["runs"].values()

    def most(key: str) -> float:
        return float(max(run[key] for run in runs))

    growth = round(max(run["mb_late"] - run["mb_early"] for run in runs), 1)
    return [
        Bar(text="client's CPU while VMs move, % of a core", bound=15, value=most("cpu_percent"), at_most=True),
        Bar(text="memory late in the run over early, MB", bound=5, value=growth, at_most=True),
        Bar(text="WaitForUpdatesEx outstanding at a vCenter", bound=1, value=most("most_waiting"), at_most=True),
        Bar(text="moves at once on a host, from the task log", bound=1, value=most("host_most"), at_most=True),
        Bar(text="moves at once on a datastore", bound=8, value=most("datastore_most"), at_most=True),
        Bar(text="relocates of a VM, at most", bound=1, value=most("vm_most"), at_most=True),
        Bar(text="VMs moved", bound=document["vms"], value=min(run["moved"] for run in runs)),
    ]
