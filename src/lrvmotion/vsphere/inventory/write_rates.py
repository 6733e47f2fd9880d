"""How fast VMs write to memory and disks: real-time counters of the vCenter, one query for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from pyVmomi import vim

from lrvmotion.errors import RefusedError
from lrvmotion.model.inventory import MoRef
from lrvmotion.vsphere.client import managed_object, moref, required
from lrvmotion.vsphere.session import Session

INTERVAL_S, SAMPLES = 20, 15  # real-time samples are 20 s long: the last five minutes
# Bytes a second of one unit. mem.activewrite is KiB touched by writes in a sample: an estimate of pages, so that a page
# that is written over and over counts once, as it does in a pre-copy round (unconfirmed: how near it is to what a
# round finds dirty). virtualDisk.write is KB/s, of each disk.
COUNTERS = {"mem.activewrite.average": 1024 / INTERVAL_S, "virtualDisk.write.average": 1024.0}


def written(session: Session, refs: Sequence[MoRef]) -> dict[MoRef, float]:
    """Return how many bytes a second each of the VMs *refs* writes, memory and disks together.

    A VM of which the vCenter has no figures is left out; all are where it refuses to give them.
    """
    if not refs:
        return {}
    subject = f"{session.site}: performance counters"
    try:
        return session.call(subject, lambda: _written(session, refs))
    except RefusedError:
        return {}


def _written(session: Session, refs: Sequence[MoRef]) -> dict[MoRef, float]:
    manager = required(session.content.perfManager)
    factors = {}
    for counter in manager.perfCounter or ():
        name = f"{counter.groupInfo.key}.{counter.nameInfo.key}.{counter.rollupType}"
        if name in COUNTERS:
            factors[int(counter.key)] = COUNTERS[name]
    if not factors:
        return {}
    metrics = [vim.PerformanceManager.MetricId(counterId=key, instance="*") for key in factors]
    specs = [
        vim.PerformanceManager.QuerySpec(
            entity=managed_object(session.stub, ref), metricId=metrics, intervalId=INTERVAL_S, maxSample=SAMPLES
        )
        for ref in refs
    ]
    found = {}
    for entity in manager.QueryPerf(specs) or ():
        rates = [rate for series in entity.value or () if (rate := _mean(series, factors)) is not None]
        if rates:
            found[moref(entity.entity)] = sum(rates)
    return found


def _mean(series: vim.PerformanceManager.IntSeries, factors: dict[int, float]) -> float | None:
    values = [int(value) for value in series.value or () if int(value) >= 0]  # -1: no sample
    return sum(values) / len(values) * factors[int(series.id.counterId)] if values else None
