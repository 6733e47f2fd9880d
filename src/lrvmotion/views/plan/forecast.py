"""The forecast on the screen: the modes as bars, what limits the plan's own, how long the VMs take; or JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from lrvmotion.forecast.estimate import Estimate, Forecast, VmTime
from lrvmotion.views.text import console, units, words

BAR = 28  # columns of the longest bar: with names, rates and ranges a line has at most 80
EIGHTHS = " ▏▎▍▌▋▊▉"


def show(to: Console, made: Forecast, mode: str) -> None:
    """Print the estimates as bars, what limits *mode*, and how long the VMs take in it."""
    to.print()
    heading = Text("forecast", style="bold")
    heading.append(f"  {made.basis}", style="not bold dim")
    console.hang(to, Text(""), heading)
    most = max((estimate.mbps or 0.0 for estimate in made.estimates), default=0.0)
    for estimate in made.estimates:
        to.print(_line(estimate, most, own=estimate.mode == mode), no_wrap=True, crop=False)
    for estimate in made.estimates:
        if estimate.mode == mode:
            console.hang(to, Text("  "), Text(f"{mode}: {estimate.limiter}"))
        change = f"{estimate.corrected - 1:+.0%}"
        if estimate.past and change not in {"+0%", "-0%"}:
            moves = words.count(estimate.past, "past move")
            to.print(Text(f"  {estimate.mode}: corrected by {change} after {moves}", style="dim"))
    _times(to, made)


def _line(estimate: Estimate, most: float, *, own: bool) -> Text:
    rate = "not known" if estimate.mbps is None else _rate(estimate.mbps)
    text = Text(f"  {estimate.mode:<6}  {rate:>11}  ", style="bold" if own else "")
    text.append(bar(estimate.mbps or 0.0, most).ljust(BAR), style="green" if own else "dim")
    text.append(f"  {_range(estimate)}", style="not bold dim")
    return text


def bar(rate: float, most: float) -> str:
    """Return a bar of up to BAR columns, in eighths of a column; a rate above 0 is never without one."""
    eighths = max(round(rate / most * BAR * 8), 1) if rate > 0 and most > 0 else 0
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _range(estimate: Estimate) -> str:
    if estimate.mbps is None:
        return "" if estimate.high is None else f"up to {_rate(estimate.high)}"
    low = _rate(estimate.low)
    if estimate.high is None:
        return f"{low} or more"
    high = _rate(estimate.high)
    same = low.partition(" ")[2] == high.partition(" ")[2]
    return f"{low.partition(' ')[0] if same else low} to {high}"


def _rate(mbps: float) -> str:
    return f"{mbps:.1f} Mbit/s" if mbps < 10 else units.rate(mbps * 1e6)


def _times(to: Console, made: Forecast) -> None:
    if made.queue_s is not None:
        known = [vm.seconds for vm in made.vms if vm.seconds is not None]
        least, most = units.clock(min(known)), units.clock(max(known))
        each = f", each {least}" + (f" to {most}" if most != least else "") if len(known) > 1 else ""
        side = f", {made.concurrent_moves} at once" if made.concurrent_moves > 1 else ""
        text = f"{words.count(len(made.vms), 'VM')} in {units.clock(made.queue_s)}{each}{side}"
        if not all(vm.measured for vm in made.vms):
            text += ", without what is written meanwhile, which was not measured"
        console.hang(to, Text("  "), Text(text))
    for vm in made.vms:
        if not vm.converges:
            text = (
                f"{vm.vm} writes faster than this: vSphere will slow it down, by {vm.slowed:.0%} of its writing or more"
            )
            console.hang(to, Text("  "), Text(text, style="yellow"))


def document(made: Forecast | None) -> dict[str, Any] | None:
    """Return the forecast as JSON shows it, None where none was made."""
    if made is None:
        return None
    return {
        "basis": made.basis,
        "modes": {estimate.mode: _mode(estimate) for estimate in made.estimates},
        "vms": [_vm(vm) for vm in made.vms],
        "concurrent_moves": made.concurrent_moves,
        "queue_s": _rounded(made.queue_s),
    }


def _mode(estimate: Estimate) -> dict[str, Any]:
    rates = {name: _rounded(getattr(estimate, name)) for name in ("mbps", "low", "high")}
    return {
        **rates, "limiter": estimate.limiter, "source": estimate.source, "past": estimate.past,
        "corrected": round(estimate.corrected, 3),
    }  # fmt: skip


def _vm(vm: VmTime) -> dict[str, Any]:
    return {**asdict(vm), "seconds": _rounded(vm.seconds), "switchover_s": _rounded(vm.switchover_s)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
