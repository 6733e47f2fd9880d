"""Medians, ranges and ratios of the runs, and the tables that show them: arithmetic and text, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

GIB = 1024**3
PEERS = ("socat", "haproxy", "nginx")
HAPROXIES = ("haproxy", "haproxy-splice")  # both ways of running it; the better one is the peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run: bytes that reached the receiver in the window, its seconds, the relay's CPU seconds in it."""

    size: int
    seconds: float
    cpu_s: float

    @property
    def gbps(self) -> float:
        """Gbit/s."""
        return self.size * 8 / self.seconds / 1e9

    @property
    def cpu_s_per_gib(self) -> float:
        """CPU seconds of the relay per GiB delivered."""
        return self.cpu_s * GIB / self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The runs of one contender at one number of streams: medians, with the least and the most."""

    gbps: float
    low: float
    high: float
    cpu: float
    cpu_low: float
    cpu_high: float
    runs: int = 0

    def document(self) -> dict[str, Any]:
        """Return the cell as JSON shows it."""
        return {
            "gbps": round(self.gbps, 3),
            "relay_cpu_s_per_gib": round(self.cpu, 4),
            "range": [round(self.low, 3), round(self.high, 3)],
            "relay_cpu_range": [round(self.cpu_low, 4), round(self.cpu_high, 4)],
            "runs": self.runs,
        }


def summarise(samples: Sequence[Sample]) -> Cell:
    """Reduce the runs to a cell. ValueError without any, or where one delivered nothing."""
    if not samples or not all(sample.size for sample in samples):
        message = "a median needs runs that delivered something"
        raise ValueError(message)
    rates = [sample.gbps for sample in samples]
    costs = [sample.cpu_s_per_gib for sample in samples]
    return Cell(
        gbps=median(rates), low=min(rates), high=max(rates),
        cpu=median(costs), cpu_low=min(costs), cpu_high=max(costs), runs=len(samples),
    )  # fmt: skip


Row = Mapping[str, Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What is asked of a ratio, and what was measured."""

    text: str
    bound: float
    value: float
    at_most: bool = False

    @property
    def held(self) -> bool:
        """Whether the ratio is on the right side of the bound."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound


def bars(cells: Mapping[int, Row]) -> list[Bar]:
    """Judge the bars of the unimpaired path whose stream counts and contenders were measured."""
    found: list[Bar] = []
    for streams, row in sorted(cells.items()):
        if "relayd" not in row or not set(PEERS) <= row.keys():
            continue
        ours, haproxies = row["relayd"], [row[name] for name in HAPROXIES if name in row]
        best = max(cell.gbps for cell in (row["socat"], row["nginx"], *haproxies))
        if streams == 5 and all(cell.cpu for cell in (row["socat"], *haproxies)):  # 0: a window too short to tell
            proxies = max(cell.gbps for cell in (row["nginx"], *haproxies))
            found += [
                Bar(text="5 streams: rate / socat's", bound=4, value=ours.gbps / row["socat"].gbps),
                Bar(
                    text="5 streams: rate / the better of HAProxy's and nginx's", bound=1.3,
                    value=ours.gbps / proxies,
                ),
                Bar(
                    text="5 streams: CPU per GiB / HAProxy's",
                    bound=0.7, value=ours.cpu / min(cell.cpu for cell in haproxies),
                    at_most=True,
                ),
                Bar(
                    text="5 streams: CPU per GiB / socat's", bound=0.08, value=ours.cpu / row["socat"].cpu,
                    at_most=True,
                ),
            ]  # fmt: skip
        elif streams != 5:
            plural = "stream" if streams == 1 else "streams"
            found.append(Bar(text=f"{streams} {plural}: rate / the best peer's", bound=0.95, value=ours.gbps / best))
    return found


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def cells_table(cells: Mapping[int, Row]) -> str:
    """Return the table of medians, ranges and ratios to relayd in Markdown, which a terminal shows well enough."""
    lines = [
        "| streams | contender | Gbit/s, median (range) | relayd / it | relay CPU-s/GiB (range) | relayd / it, CPU |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for streams, row in sorted(cells.items()):
        ours = row.get("relayd")
        for name, cell in row.items():
            faster = _number(ours.gbps / cell.gbps) if ours and name != "relayd" else "-"
            dearer = f"{ours.cpu / cell.cpu:.3f}" if ours and name != "relayd" and cell.cpu else "-"
            cost = f"{cell.cpu:.3f} ({cell.cpu_low:.3f}-{cell.cpu_high:.3f})" if cell.cpu else "none"
            rate = f"{cell.gbps:.2f} ({cell.low:.2f}-{cell.high:.2f})"
            lines.append(f"| {streams} | {name} | {rate} | {faster} | {cost} | {dearer} |")
    return "\n".join(lines) + "\n"


def bars_table(judged: Sequence[Bar]) -> str:
    """Return the table of bars in Markdown."""
    lines = ["| bar | asked | measured | held |", "|---|---:|---:|---|"]
    for bar in judged:
        sign = "≤" if bar.at_most else "≥"
        lines.append(f"| {bar.text} | {sign} {bar.bound:g} | {bar.value:.3f} | {'yes' if bar.held else '**no**'} |")
    return "\n".join(lines) + "\n"


def document(cells: Mapping[int, Row], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON document: `path`, by number of streams, by contender; and the facts of the run."""
    path = {str(streams): {name: cell.document() for name, cell in row.items()} for streams, row in cells.items()}
    return {"path": path, **facts}


def cells_of(made: Mapping[str, Any]) -> dict[int, dict[str, Cell]]:
    """Return the cells that `document` wrote."""
    return {
        int(streams): {
            name: Cell(
                gbps=entry["gbps"], low=entry["range"][0], high=entry["range"][1],
                cpu=entry["relay_cpu_s_per_gib"], cpu_low=entry["relay_cpu_range"][0],
                cpu_high=entry["relay_cpu_range"][1], runs=entry.get("runs", 0),
            )
            for name, entry in row.items()
        }
        for streams, row in made["path"].items()
    }  # fmt: skip


def facts_text(made: Mapping[str, Any]) -> str:
    """Return a sentence or two on machine, kernel, versions and windows."""
    versions = ", ".join(made["versions"].values())
    quick = "`--quick`: w" if made.get("quick") else "W"
    return (
        f"{made['machine']}, kernel {made['kernel']}, {made['system']}, Python {made['python']}; {versions}. "
        f"{quick}indows of {made['window_s']:g} s from {made['settle_s']:g} s after the first byte."
    )


def thrown_text(made: Mapping[str, Any]) -> str:
    """Return a sentence on runs that failed and on contenders that could not run, "" where there were none."""
    failed = [f"{one['contender']} with {one['streams']} ({one['why']})" for one in made.get("thrown_away", ())]
    absent = [f"{name} ({why})" for name, why in made.get("skipped", {}).items()]
    found = [f"Thrown away, and made again: {'; '.join(failed)}."] if failed else []
    return " ".join([*found, *([f"Not measured: {'; '.join(absent)}."] if absent else [])])


def fill(text: str, name: str, body: str) -> str:
    """Return *text* with *body* between the markers of *name*. ValueError where they are not there once, in order."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
        message = f"no place for {name}: it needs the lines {begin.strip()} and {end.strip()} once each"
        raise ValueError(message)
    before, _, rest = text.partition(begin)
    return before + begin + "\n" + body + "\n" + end + rest.partition(end)[2]
