"""The forecast of a plan: what its hosts send with, what was measured of the path, how long its VMs take."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from lrvmotion.config.schema import Config
from lrvmotion.forecast import calibration, precopy, tcp_model
from lrvmotion.forecast import estimate as forecast
from lrvmotion.forecast.estimate import Bound, Estimate, Forecast, Measured, Sending, VmTime
from lrvmotion.model.inventory import Host
from lrvmotion.model.load_report import CongestionControl, LoadReport
from lrvmotion.model.mode import Mode
from lrvmotion.model.path_quality import PathQuality
from lrvmotion.plan import settings
from lrvmotion.plan.modes import MODES, available, stock
from lrvmotion.plan.plan import Migration, Plan
from lrvmotion.plan.schedule import Begin, Limits, Schedule, queue_end


def make(
    plan: Plan,
    config: Config,
    sources: Collection[Host],
    qualities: Sequence[PathQuality],
    *,
    load: LoadReport | None,
    age_s: float | None,
    past: Sequence[tuple[Mode, float]] = (),
    dirty: Mapping[str, float] | None = None,
    targets: Collection[Host] = (),
    relay_nics: Mapping[str, int] | None = None,
) -> Forecast:
    """Return the forecast of *plan*, whose source hosts are *sources*, from what was measured.

    *load* is the latest load probe, *age_s* seconds old; *past* are recorded moves on this path, (mode, Mbit/s);
    *dirty* is each VM's measured dirty rate in bytes/s. The hosts' uplinks bound all modes (*targets*: the target's
    hosts), *relay_nics* those with a relay: the link of each relay's interface, Mbit/s.
    """
    answered = [quality for quality in qualities if quality.received and quality.rtt_ms is not None]
    received = sum(quality.received for quality in answered)
    rtt = sum((quality.rtt_ms or 0.0) * quality.received for quality in answered) / received if received else None
    cap = config.relay.cap_bps
    measured = Measured(
        rtt_ms=rtt,
        sent=sum(quality.sent for quality in answered),
        lost=sum(quality.sent - quality.received for quality in answered),
        load=load,
        relay_mbps=None if cap is None else cap / 1e6,
        bounds=bounds(plan, config, sources, targets, relay_nics or {}),
    )
    law = _law(plan, sources)
    streams = 1 if MODES[plan.mode].CHANGES_SETTINGS else plan.streams
    sending = senders(config, law, rtt or (load.min_rtt_ms if load else None), streams=streams)
    found = calibration.corrected(forecast.estimates(measured, sending), past, sending)
    vms, concurrent, queue_s = _times(plan, config, found, load, dirty or {})
    line = load.bottleneck_mbps if load is not None else None
    return Forecast(
        basis=_basis(measured, age_s),
        estimates=found,
        vms=vms,
        concurrent_moves=concurrent,
        queue_s=queue_s,
        line_mbps=line,
    )


def bounds(
    plan: Plan, config: Config, sources: Collection[Host], targets: Collection[Host], relay_nics: Mapping[str, int]
) -> dict[Mode, list[Bound]]:
    """Return what no move of each mode can be faster than: uplinks of the hosts, a relay's interface, the circuit."""
    here = {path.source_host for path in plan.paths} | {move.source_host for move in plan.migrations}
    there = {path.target_host for path in plan.paths} | {move.placement.host.name for move in plan.migrations}
    found: dict[Mode, list[Bound]] = {}
    for name, mode in MODES.items():
        sides = (
            ([host for host in sources if host.name in here], mode.vmknics(config, "source")),
            ([host for host in targets if host.name in there], mode.vmknics(config, "target")),
        )
        found[name] = [bound for hosts, count in sides if (bound := _uplinks(hosts, count)) is not None]
        if config.relay.circuit_rate is not None:
            rate = config.relay.circuit_rate / 1e6
            limiter = f"the circuit, which the configuration says carries {rate:.0f} Mbit/s"
            found[name].append(Bound(mbps=tcp_model.line(rate), limiter=limiter, source=tcp_model.LINE))
        if mode.NEEDS_RELAY and relay_nics:
            relay = max(relay_nics, key=lambda relay: relay_nics[relay])
            mbps = relay_nics[relay]
            limiter = f"the interface of relay {relay}, which runs at {mbps} Mbit/s"
            found[name].append(Bound(mbps=tcp_model.line(mbps), limiter=limiter, source=tcp_model.LINE))
    return found


def _uplinks(hosts: Collection[Host], vmknics: int) -> Bound | None:
    """Return the bound that the uplinks of the fastest of *hosts* are; None where those of any are not known."""
    speeds = {host.name: host.uplink_mbps(vmknics) for host in hosts}
    known = {name: mbps for name, mbps in speeds.items() if mbps is not None}
    if not known or len(known) < len(speeds):
        return None
    name = max(known, key=lambda host: known[host])
    limiter = f"the uplinks of the vMotion vmknics: {known[name]} Mbit/s at {name}"
    return Bound(mbps=tcp_model.line(known[name]), limiter=limiter, source=tcp_model.LINE)


def limits(config: Config, line_mbps: float | None) -> Limits:
    """Return how many moves may run at once, the circuit carrying *line_mbps* at most, None: not measured."""
    cap = config.relay.cap_bps
    relayed = line_mbps if cap is None else min(line_mbps or math.inf, cap / 1e6)
    return Limits.measured(config.limits, line_mbps=line_mbps, relay_mbps=relayed)


def senders(config: Config, law: CongestionControl, rtt_ms: float | None, *, streams: int = 1) -> dict[Mode, Sending]:
    """Return what each mode sends with; the hosts as they are send *streams* of the congestion control *law*."""
    window = settings.window_bytes(settings.DEFAULT_LINE_MBYTES, rtt_ms)
    hosts = Sending(streams=streams, law=law, window_bytes=window)
    return {name: mode.sending(config, hosts, rtt_ms) for name, mode in MODES.items()}


def choose(config: Config, load: LoadReport) -> Mode | None:
    """Return the mode with the best forecast from *load* among those that the configuration allows."""
    cap = config.relay.cap_bps
    measured = Measured(rtt_ms=load.min_rtt_ms, load=load, relay_mbps=None if cap is None else cap / 1e6)
    found = forecast.estimates(measured, senders(config, "reno", load.min_rtt_ms))
    return forecast.best(found, available(config))


def _law(plan: Plan, sources: Collection[Host]) -> CongestionControl:
    """Return cubic where the vMotion stack of every source host of the paths has it, else newreno, its default."""
    stacks = {(path.source_host, path.netstack) for path in plan.paths}
    found = {host.congestion_control.get(stack) for host in sources for name, stack in stacks if host.name == name}
    return "cubic" if found == {"cubic"} else "reno"


def _times(
    plan: Plan, config: Config, found: Sequence[Estimate], load: LoadReport | None, dirty: Mapping[str, float]
) -> tuple[tuple[VmTime, ...], int, float | None]:
    """Return each VM's time, how many move at once, when the last has moved."""
    rates = {estimate.mode: estimate.mbps for estimate in found}
    line = load.bottleneck_mbps if load is not None else None
    allowed, relay_by_host = limits(config, line), dict(plan.relay_by_host)
    concurrent = max(len(Schedule(plan.migrations, allowed, relay_by_host=relay_by_host).step(Begin())), 1)
    cap = config.relay.cap_bps if MODES[plan.mode].NEEDS_RELAY else None
    relayed = line if cap is None else min(line or math.inf, cap / 1e6 * max(len(plan.relays), 1))
    hot, cold = (
        _shared(rates.get(plan.mode), relayed, concurrent),
        _shared(rates.get(stock.NAME), line, concurrent),
    )
    vms = tuple(_time(move, hot, cold, dirty.get(move.vm)) for move in plan.migrations)
    if not vms or any(vm.seconds is None for vm in vms):
        return vms, concurrent, None
    seconds = {vm.vm: vm.seconds or 0.0 for vm in vms}
    return vms, concurrent, queue_end(Schedule(plan.migrations, allowed, relay_by_host=relay_by_host), seconds)


def _shared(rate: float | None, line: float | None, moves: int) -> float | None:
    """Return what each of so many *moves* has: its own rate, but together no more than the line."""
    return rate if rate is None or line is None else min(rate, max(line, rate) / moves)


def _time(move: Migration, hot: float | None, cold: float | None, dirty: float | None) -> VmTime:
    """Return how long *move* takes at *hot* Mbit/s by vMotion and *cold* by NFC, which is one stream of the host's."""
    if (move.hot_bytes and not hot) or (move.cold_bytes and not cold):
        return VmTime(vm=move.vm, seconds=None)
    nfc_s = move.cold_bytes * 8 / 1e6 / cold if move.cold_bytes and cold else 0.0
    if not move.hot_bytes or not hot:
        return VmTime(vm=move.vm, seconds=nfc_s, measured=True)
    made = precopy.transfer(move.hot_bytes, 0, dirty or 0.0, hot)
    return VmTime(
        vm=move.vm, seconds=made.seconds + nfc_s, rounds=made.rounds, switchover_s=made.switchover_s,
        converges=made.converges, slowed=made.slowed, measured=dirty is not None,
    )  # fmt: skip


def _basis(measured: Measured, age_s: float | None) -> str:
    if measured.load is not None:
        age = "" if age_s is None else f", {_ago(age_s)} old"
        return f"from the load probe between {measured.load.near} and {measured.load.far}{age}"
    if measured.rtt_ms is None:
        return "nothing was measured: no forecast"
    return (
        f"a range, from {measured.sent} idle pings: what the circuit does under load was not measured "
        "('lrvmotion check --load' does, with a far relay host)"
    )


def _ago(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
