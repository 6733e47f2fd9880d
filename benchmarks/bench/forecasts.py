"""The forecast's grid: its cells, which are held out, a cell's forecast, tables and bars: arithmetic and text."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from bench.cells import LOSSES, RTTS_MS, Cell, key
from bench.table import Bar
from lrvmotion.forecast.estimate import Measured, Sending, best, estimates
from lrvmotion.model.load_report import LoadReport
from lrvmotion.model.mode import Mode

WITHIN = 0.30
LEADS = 0.15
HELD_OUT = 3  # every third cell of the grid is held out from any fitting
SENDERS: dict[Mode, Sending] = {
    "native": Sending(streams=48, law="reno"),
    "proxy": Sending(streams=5, law="bbr", relayed=True),
}
SMOKE = (Cell(profile="uniform", rtt_ms=5, loss=0.005),)
QUICK = (Cell(profile="field", rtt_ms=55), Cell(profile="uniform", rtt_ms=55, loss=0.005))


def grid() -> tuple[Cell, ...]:
    """Return every cell in the order of the table: field profile, then by loss, profile and RTT."""
    found = [Cell(profile="field", rtt_ms=rtt_ms) for rtt_ms in RTTS_MS]
    for loss in LOSSES:
        for profile in ("uniform", "bursty") if loss else ("uniform",):
            found += [Cell(profile=profile, rtt_ms=rtt_ms, loss=loss) for rtt_ms in RTTS_MS]
    return tuple(found)


def held_out(cell: Cell) -> bool:
    """Whether *cell* is held out: every third of the grid, beginning with the third; a cell off the grid always."""
    cells = grid()
    return cell not in cells or cells.index(cell) % HELD_OUT == HELD_OUT - 1


def mixed(cells: Sequence[Cell]) -> list[Cell]:
    """Return *cells* in an order in which any first part is spread over the whole, the same every time."""
    found = list(cells)
    random.Random(1).shuffle(found)  # noqa: S311 - repeatable
    return found


def forecast(report: LoadReport) -> dict[str, dict[str, Any]]:
    """Return the forecast of native and proxy mode from a load probe, as `lrvmotion plan` makes it."""
    made = estimates(Measured(rtt_ms=None, load=report), SENDERS)
    return {one.mode: {"mbps": one.mbps, "low": one.low, "high": one.high, "limiter": one.limiter} for one in made}


def entries(cell: Cell, report: LoadReport, measured: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Return the cell's entries of the JSON document, one a mode; `load` is what the probe said."""
    return [
        {
            "rtt_ms": cell.rtt_ms, "loss": cell.loss, "profile": cell.profile, "mode": mode,
            "forecast_mbps": None, "measured_mbps": round(found["mbps"], 2), "held_out": held_out(cell),
            "wire_loss": round(found["loss"], 5), "late": round(found["late"], 4), "drops": found["drops"],
            "load": report.to_json(),
        }
        for mode, found in measured.items()
    ]  # fmt: skip


def refreshed(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries with the forecast as it is made now from the probe that they hold."""
    result = []
    for entry in found:
        made = forecast(LoadReport.from_json(entry["load"]))[entry["mode"]]
        rest = {"low": round(made["low"], 2), "high": round(made["high"], 2), "limiter": made["limiter"]}
        result.append({**entry, "forecast_mbps": round(made["mbps"], 2), **rest})
    return sorted(result, key=lambda entry: (*_place(key(entry)), entry["mode"]))


def _place(cell: Cell) -> tuple[int, Cell]:
    cells = grid()
    return (cells.index(cell) if cell in cells else len(cells)), cell


def off(entry: Mapping[str, Any]) -> float:
    """Return by which share the forecast is off what was measured."""
    return float(entry["forecast_mbps"] / entry["measured_mbps"] - 1)


def choices(found: Sequence[Mapping[str, Any]]) -> list[tuple[Cell, str, str | None]]:
    """Return of each cell in which one mode leads by over 15 %: the cell, that mode, the one that was forecast best."""
    by_cell: dict[Cell, dict[str, Mapping[str, Any]]] = {}
    for entry in found:
        by_cell.setdefault(key(entry), {})[entry["mode"]] = entry
    result = []
    for cell, modes in by_cell.items():
        if len(modes) < 2:
            continue
        first, second = sorted(modes.values(), key=lambda entry: -entry["measured_mbps"])[:2]
        if first["measured_mbps"] > second["measured_mbps"] * (1 + LEADS):
            report = LoadReport.from_json(first["load"])
            made = estimates(Measured(rtt_ms=None, load=report), SENDERS)
            result.append((cell, first["mode"], best(made, list(SENDERS))))
    return result


def bars(found: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Judge the forecast over all cells, over those held out, and its choice of the mode."""
    judged = []
    for text, some in (("all cells", list(found)), ("held out", [entry for entry in found if entry["held_out"]])):
        for mode in SENDERS:
            of = [entry for entry in some if entry["mode"] == mode]
            if of:
                share = sum(abs(off(entry)) <= WITHIN for entry in of) / len(of)
                judged.append(Bar(text=f"{mode}, {len(of)} of {text}: share within ±30 %", bound=0.9, value=share))
    chosen = choices(found)
    if chosen:
        right = sum(real == said for _, real, said in chosen) / len(chosen)
        judged.append(Bar(text=f"best mode right, of {len(chosen)} cells where it leads", bound=1, value=right))
    return judged


def facts(found: Sequence[Mapping[str, Any]]) -> str:
    """Return a sentence on what was measured and how late the wire was."""
    late = sorted(max(entry["late"], entry["probe_late"]) for entry in found)
    circuits = len({key(entry) for entry in found})
    return (
        f"{circuits} circuits; the grid has {len(grid())}. Share of packets that left the wire more than 5 ms late: in "
        f"the median run {late[len(late) // 2]:.0%}, in the worst {late[-1]:.0%}.\n"
    )


def cells_table(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of cells in Markdown; held-out ones have a star."""
    lines = [
        "| circuit | native: forecast (range) | measured | off | proxy: forecast (range) | measured | off |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    by_cell: dict[Cell, dict[str, Mapping[str, Any]]] = {}
    for entry in found:
        by_cell.setdefault(key(entry), {})[entry["mode"]] = entry
    for cell, modes in by_cell.items():
        loss = "" if cell.profile == "field" else f" {cell.loss * 100:g} %"
        star = " *" if next(iter(modes.values()))["held_out"] else ""
        row = [f"{cell.profile}{loss}, {cell.rtt_ms} ms{star}"]
        for mode in SENDERS:
            if mode not in modes:
                row += ["-", "-", "-"]
                continue
            one = modes[mode]
            row.append(f"{one['forecast_mbps']:.0f} ({one['low']:.0f}-{one['high']:.0f})")
            row += [f"{one['measured_mbps']:.0f}", f"{off(one) * 100:+.0f} %"]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"
