"""Measure the path: vmknic to vmknic by ping, source hosts side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lrvmotion.events import Observer, PathMeasured
from lrvmotion.model.path_quality import FULL, JUMBO, Arrival, Frames, PathQuality, jitter
from lrvmotion.plan.plan import Path
from lrvmotion.ports.pinger import PING_SIZE, MessageTooLong, Pinger, PingRefused, PingRequest

Item = TypeVar("Item")
Found = TypeVar("Found")

CALL_PROBES = 50  # one esxcli ping is synchronous: keep each call short (vsphere.md 7.3)


def measure(
    paths: Sequence[Path],
    pinger: Pinger,
    observer: Observer,
    *,
    probes: int,
    interval_s: float = 0.1,
    sent: Callable[[int], None] | None = None,
) -> list[PathQuality]:
    """Ping over every path, source hosts in parallel, and return what was found in the order of *paths*.

    *sent* is told of every call how many pings it was, from several threads.
    """

    def walk(path: Path) -> PathQuality:
        quality = _one(path, pinger, probes, interval_s, sent or _nobody)
        observer(
            PathMeasured(
                source=quality.source, target=quality.target, sent=quality.sent, received=quality.received,
                rtt_ms=quality.rtt_ms, jitter_ms=quality.jitter_ms, loss=quality.loss, reason=quality.reason,
            )
        )  # fmt: skip
        return quality

    return _hosts_at_once(paths, lambda path: path.source_host, walk)


def frames(
    pairs: Sequence[tuple[Path, int, int]], pinger: Pinger, sent: Callable[[int], None] | None = None
) -> list[Frames]:
    """Try frames of both sizes over each of *pairs* (path, MTU of its source, of its target), hosts in parallel."""

    def walk(pair: tuple[Path, int, int]) -> Frames:
        found = _frames(*pair, pinger)
        (sent or _nobody)(1)
        return found

    return _hosts_at_once(pairs, lambda pair: pair[0].source_host, walk)


def _hosts_at_once(items: Sequence[Item], host: Callable[[Item], str], walk: Callable[[Item], Found]) -> list[Found]:
    """Walk *items*, those of one host one after the other, hosts in parallel; return what was found in their order."""
    by_host: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        by_host.setdefault(host(item), []).append(number)
    if not by_host:
        return []
    with ThreadPoolExecutor(max_workers=min(8, len(by_host))) as pool:
        done = pool.map(lambda own: [(number, walk(items[number])) for number in own], by_host.values())
        found = dict(one for group in done for one in group)
    return [found[number] for number in range(len(items))]


def request(path: Path, *, count: int, interval_s: float, size: int = PING_SIZE, df: bool = False) -> PingRequest:
    """Return what to ask the source host of *path* for."""
    return PingRequest(
        netstack=path.netstack, source=path.source_address, address=path.target_address, count=count,
        interval_s=interval_s, size=size, df=df,
    )  # fmt: skip


def _frames(path: Path, source_mtu: int, target_mtu: int, pinger: Pinger) -> Frames:
    def arrives(size: int, *, df: bool) -> Arrival:
        for count in (2, 4):  # a lossy circuit loses a few: six must be lost before it is the size
            try:
                pings = pinger.ping(path.source, request(path, count=count, interval_s=0.2, size=size, df=df))
            except MessageTooLong:
                return "too-long"
            if pings.received:
                return "passed"
        return "lost"

    source, target = path.ends
    try:
        full = arrives(FULL, df=True)
        plain = "passed" if full == "passed" else arrives(PING_SIZE, df=False)
        jumbo = arrives(JUMBO, df=True) if plain == "passed" else None
    except PingRefused as refused:
        reason = refused.message.removeprefix(f"{path.source}: ")
        return Frames(source=source, target=target, source_mtu=source_mtu, target_mtu=target_mtu, reason=reason)
    return Frames(
        source=source, target=target, source_mtu=source_mtu, target_mtu=target_mtu,
        plain=plain, full=full, jumbo=jumbo,
    )  # fmt: skip


def _nobody(count: int) -> None:
    del count


def _one(path: Path, pinger: Pinger, probes: int, interval_s: float, tell: Callable[[int], None]) -> PathQuality:
    source, target = path.ends
    sent = received = 0
    averages: list[tuple[float, int]] = []
    minima: list[float] = []
    rtts: list[float] = []
    try:
        while sent < probes:
            count = min(CALL_PROBES, probes - sent)
            pings = pinger.ping(path.source, request(path, count=count, interval_s=interval_s))
            sent += pings.sent
            received += pings.received
            tell(pings.sent)
            rtts += pings.rtts_ms
            if pings.received and pings.rtt_avg_ms is not None:
                averages.append((pings.rtt_avg_ms, pings.received))
            if pings.received and pings.rtt_min_ms is not None:
                minima.append(pings.rtt_min_ms)
            if pings.sent == 0:
                break
    except PingRefused as refused:
        reason = refused.message.removeprefix(f"{path.source}: ")
        return PathQuality(source=source, target=target, sent=0, received=0, reason=reason)
    weight = sum(count for _, count in averages)
    return PathQuality(
        source=source,
        target=target,
        sent=sent,
        received=received,
        rtt_ms=sum(rtt * count for rtt, count in averages) / weight if weight else None,
        rtt_min_ms=min(minima, default=None),
        jitter_ms=jitter(rtts),
    )
