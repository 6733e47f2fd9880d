"""The path between two sites as `check` measures it: frames from every vmknic, then one pair of each source host."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from lrvmotion.events import Observer
from lrvmotion.model.inventory import Host
from lrvmotion.model.path_quality import Frames, PathQuality
from lrvmotion.plan.plan import Path
from lrvmotion.ports.pinger import Pinger
from lrvmotion.run import path_probe


def measure(
    sources: Sequence[Host],
    targets: Sequence[Host],
    pinger: Pinger,
    observer: Observer,
    *,
    probes: int,
    step: Callable[[str, int, int], None],
) -> tuple[list[Frames], list[PathQuality]]:
    """Return what became of frames of both sizes, and RTT, jitter and loss of *probes* pings for each source host.

    Only connected hosts with a vMotion vmknic are asked. *step* is told how much is done, one thread at a time.
    """
    sources, targets = _usable(sources), _usable(targets)
    pairs = frame_pairs(sources, targets)
    found = path_probe.frames(pairs, pinger, _counter("frames", len(pairs), step))
    silent = {(frames.source, frames.target) for frames in found if frames.full == "lost" and frames.plain != "passed"}
    paths = [path for path in quality_paths(sources, targets) if path.ends not in silent]
    total = probes * len(paths)
    qualities = path_probe.measure(paths, pinger, observer, probes=probes, sent=_counter("pings", total, step))
    return found, qualities


def frame_pairs(sources: Sequence[Host], targets: Sequence[Host]) -> list[tuple[Path, int, int]]:
    """Return every vMotion vmknic of *sources* with one of each of *targets*, and the MTUs of both."""
    return [
        (_path(source, number, target), source.vmotion_vmknics[number].mtu, target.vmotion_vmknics[0].mtu)
        for source in sources
        for number in range(len(source.vmotion_vmknics))
        for target in targets
    ]


def quality_paths(sources: Sequence[Host], targets: Sequence[Host]) -> list[Path]:
    """Return one pair for each of *sources*, the targets in turn."""
    return [_path(source, 0, targets[number % len(targets)]) for number, source in enumerate(sources) if targets]


def _usable(hosts: Sequence[Host]) -> list[Host]:
    return [host for host in hosts if host.connection_state == "connected" and host.vmotion_vmknics]


def _path(source: Host, number: int, target: Host) -> Path:
    nic = source.vmotion_vmknics[number]
    return Path(
        source_host=source.name, source_address=nic.address, netstack=nic.netstack,
        target_host=target.name, target_address=target.vmotion_vmknics[0].address, new=False,
    )  # fmt: skip


def _counter(what: str, total: int, step: Callable[[str, int, int], None]) -> Callable[[int], None]:
    lock = threading.Lock()
    done = 0

    def count(more: int) -> None:
        nonlocal done
        with lock:
            done += more
            step(what, done, total)

    if total:
        step(what, 0, total)
    return count
