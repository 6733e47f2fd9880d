"""The plots of a run's report: rate over time, the queue as a waterfall, forecast against actual."""

from __future__ import annotations

from collections.abc import Sequence

from lrvmotion.model.migration_state import MigrationState
from lrvmotion.report.run_history import RunHistory, VmHistory
from lrvmotion.views.report import svg
from lrvmotion.views.report.wording import result
from lrvmotion.views.text import units

BINS = 160  # at most: a bin is no shorter than a second, for progress comes in whole percents
NAMED = 8  # VMs with a colour of their own; the rest is one
COLORS = ("#3b6fb6", "#e08a3c", "#4f9d69", "#c8553d", "#7a68a6", "#8c6d4f", "#c97fb0", "#5fa8b5")
OTHERS = "#b5bac2"
STATES = {
    MigrationState.SUCCESS: "#4f9d69",
    MigrationState.ERROR: "#c8553d",
    MigrationState.CANCELLED: "#e0a83c",
    MigrationState.RUNNING: "#3b6fb6",
}
TALLEST = 1400.0  # of the waterfall; more VMs make thinner bars

Legend = list[tuple[str, str]]


def rates(history: RunHistory) -> tuple[str, Legend] | None:
    """Return the rate of each VM over time, stacked, and what relays measured as lines; None where nothing moved."""
    count = max(12, min(BINS, int(history.end_s)))
    width = history.end_s / count
    biggest = sorted((vm for vm in history.vms if vm.points), key=lambda vm: vm.bytes, reverse=True)
    series = [(vm.vm, color, _bins([vm], width, count)) for vm, color in zip(biggest, COLORS, strict=False)]
    if rest := biggest[NAMED:]:
        series.append((f"{len(rest)} others", OTHERS, _bins(rest, width, count)))
    relays = list(dict.fromkeys(sample.relay for sample in history.samples))
    highest = [max((sum(bins) for bins in zip(*(bins for *_, bins in series), strict=True)), default=0.0)]
    highest += [sample.bps for sample in history.samples]
    if max(highest) <= 0:
        return None
    plot = svg.Plot(label="rate over time", x_end=history.end_s, y_end=max(highest) * 1.08)
    plot.axis_y(svg.ticks(plot.y_end, 5), units.rate)
    plot.axis_x(svg.time_ticks(history.end_s), units.clock, "since the run began")
    below = [0.0] * count
    for _, color, bins in series:
        above = [low + rate for low, rate in zip(below, bins, strict=True)]
        plot.area(_steps(above, width), _steps(below, width), color)
        below = above
    for relay in relays:
        line = [(sample.t, sample.bps) for sample in history.samples if sample.relay == relay]
        plot.line(_thinned(line), svg.INK, dashed=relay != relays[0])
    legend = [(name, color) for name, color, _ in series]
    return plot.text(), legend + [(f"relay {relay}, measured", svg.INK) for relay in relays]


def waterfall(history: RunHistory) -> tuple[str, Legend] | None:
    """Return when each VM was on its way; None where none was."""
    begun = sorted((vm for vm in history.vms if vm.attempts), key=lambda vm: vm.attempts[0].began)
    if not begun:
        return None
    row = max(2.0, min(20.0, TALLEST / len(begun)))
    end = max(history.end_s, history.forecast_s or 0.0)
    height = svg.TOP + 20 + row * len(begun) + svg.BOTTOM
    plot = svg.Plot(label="the queue as a waterfall", x_end=end, y_end=1.0, height=height, left=170.0)
    plot.axis_x(svg.time_ticks(end), units.clock, "since the run began")
    for number, vm in enumerate(begun):
        top = svg.TOP + 20 + row * number
        first, last = vm.attempts[0].began, vm.attempts[-1].ended or history.end_s
        if len(vm.attempts) > 1:
            plot.bar(
                first, last, top + row * 0.45, max(1.0, row * 0.1), svg.SOFT, f"{vm.vm}: from first attempt to last"
            )
        for at, one in enumerate(vm.attempts, 1):
            took = units.duration((one.ended or history.end_s) - one.began)
            tip = f"{vm.vm}, attempt {at}: {result(one.state)}, {took}" + (f": {one.reason}" if one.reason else "")
            color = STATES.get(one.state, OTHERS)
            plot.bar(one.began, one.ended or history.end_s, top + row * 0.15, row * 0.7, color, tip)
        if row >= 10:
            plot.word(plot.left - 8, top + row * 0.5 + 4, _short(vm.vm), anchor="end")
    if history.forecast_s is not None:
        start = begun[0].attempts[0].began
        plot.mark(
            min(end, start + history.forecast_s), f"forecast: {units.duration(history.forecast_s)} from the first"
        )
    seen = {one.state for vm in begun for one in vm.attempts}
    return plot.text(), [(result(state), color) for state, color in STATES.items() if state in seen]


def amounts(history: RunHistory) -> tuple[str, Legend] | None:
    """Return how much had arrived over time against the forecast's pace; None without a forecast or an arrival."""
    moved = sorted(
        (one.ended or 0.0, vm.bytes)
        for vm in history.vms
        if vm.state == MigrationState.SUCCESS
        for one in vm.attempts[-1:]
    )
    whole = sum(vm.bytes for vm in history.vms)
    if not moved or history.forecast_s is None or not whole:
        return None
    start = min(vm.attempts[0].began for vm in history.vms if vm.attempts)
    end = max(history.end_s, start + history.forecast_s)
    plot = svg.Plot(label="data moved, forecast and actual", x_end=end, y_end=whole * 1.05, height=240.0)
    plot.axis_y(svg.size_ticks(plot.y_end), units.size)
    plot.axis_x(svg.time_ticks(end), units.clock, "since the run began")
    line, sum_ = [(start, 0.0)], 0.0
    for t, size in moved:
        line += [(t, sum_), (t, sum_ + size)]
        sum_ += size
    plot.area([*line, (history.end_s, sum_)], [(start, 0.0), (history.end_s, 0.0)], "#cfe3d6")
    plot.line([*line, (history.end_s, sum_)], STATES[MigrationState.SUCCESS])
    plot.line([(start, 0.0), (start + history.forecast_s, float(whole))], svg.INK, dashed=True)
    return plot.text(), [("arrived", STATES[MigrationState.SUCCESS]), ("forecast: an even pace to its end", svg.INK)]


def times(history: RunHistory) -> tuple[str, Legend] | None:
    """Return each VM's time against its forecast; None where no VM has both."""
    moved = [(vm, vm.forecast_s, vm.seconds) for vm in history.vms if vm.state == MigrationState.SUCCESS]
    known = [(vm, forecast, seconds) for vm, forecast, seconds in moved if forecast is not None and seconds is not None]
    if not known:
        return None
    end = max(max(forecast, seconds) for _, forecast, seconds in known) * 1.12
    plot = svg.Plot(label="time of each VM, forecast and actual", x_end=end, y_end=end, width=460.0, height=380.0)
    plot.axis_y(svg.time_ticks(end, 6), units.clock)
    plot.axis_x(svg.time_ticks(end, 6), units.clock, "forecast")
    plot.line([(0.0, 0.0), (end, end)], svg.SOFT, dashed=True)
    for vm, forecast, seconds in known:
        tip = f"{vm.vm}: {units.duration(seconds)}, forecast {units.duration(forecast)}"
        plot.dot(forecast, seconds, STATES[MigrationState.SUCCESS], tip)
        if len(known) <= 6:
            plot.word(plot.x(forecast) + 8, plot.y(seconds) + 4, _short(vm.vm))
    return plot.text(), [("a VM", STATES[MigrationState.SUCCESS]), ("as forecast; above it took longer", svg.SOFT)]


def _bins(vms: Sequence[VmHistory], width: float, count: int) -> list[float]:
    """Return the bit/s of *vms* in each of *count* bins of *width* seconds; failed attempts count: they sent too."""
    found = [0.0] * count
    for vm in vms:
        last_t, last_bytes, of = 0.0, 0.0, 0
        for point in vm.points:
            if point.attempts != of:
                last_t, last_bytes, of = vm.attempts[point.attempts - 1].began, 0.0, point.attempts
            _spread(found, last_t, point.t, max(0.0, point.bytes - last_bytes) * 8, width)
            last_t, last_bytes = point.t, point.bytes
    return found


def _spread(bins: list[float], begin: float, end: float, bits: float, width: float) -> None:
    """Add *bits* that went over evenly from *begin* to *end*."""
    end = max(end, begin + 1e-6)
    for at in range(int(begin / width), min(len(bins) - 1, int(end / width)) + 1):
        share = min(end, (at + 1) * width) - max(begin, at * width)
        bins[at] += bits * max(0.0, share) / (end - begin) / width


def _steps(bins: Sequence[float], width: float) -> list[tuple[float, float]]:
    return [(at * width + side, rate) for at, rate in enumerate(bins) for side in (0.0, width)]


def _thinned(points: Sequence[tuple[float, float]], most: int = 600) -> list[tuple[float, float]]:
    """Return at most about *most* of *points*, each the mean of its neighbours."""
    step = max(1, len(points) // most)
    groups = [points[at : at + step] for at in range(0, len(points), step)]
    return [(sum(t for t, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
