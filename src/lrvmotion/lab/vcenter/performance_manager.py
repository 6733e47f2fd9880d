"""PerformanceManager: the counters that follow from what the spec says of a VM, and no others."""

# ruff: noqa: ANN401, N803 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import VmomiSupport, vim, vmodl

from lrvmotion.lab.vcenter.clock import now
from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call

LONG: Any = VmomiSupport.vmodlTypes["long"]
INTERVAL_S = 20  # the real-time interval (vsphere.md 8)
# key: group, name, unit, level. unconfirmed: the keys; a client finds them by name.
COUNTERS = {
    33: ("mem", "activewrite", "kiloBytes", 2),
    178: ("virtualDisk", "write", "kiloBytesPerSecond", 2),
}


def _counter(key: int) -> Any:
    group, name, unit, level = COUNTERS[key]
    return vim.PerformanceManager.CounterInfo(
        key=key,
        nameInfo=vim.ElementDescription(key=name, label=name, summary=name),
        groupInfo=vim.ElementDescription(key=group, label=group, summary=group),
        unitInfo=vim.ElementDescription(key=unit, label=unit, summary=unit),
        rollupType="average",
        statsType="absolute" if group == "mem" else "rate",
        level=level,
        perDeviceLevel=level,
    )


def _value(vm: Any, key: int) -> int:
    if not vm.powered_on or key != 33:
        return 0  # lab VMs write memory only
    # Memory written during one interval, never more than there is.
    return min(int(vm.dirty_bps) * INTERVAL_S, int(vm.memory_bytes)) // 1024


class PerformanceManager(ManagedObject):
    """Real-time counters of VMs."""

    wsdl = "PerformanceManager"
    values: ClassVar[Values] = {
        "perfCounter": lambda _: [_counter(key) for key in COUNTERS],
        "historicalInterval": lambda _: [],
    }
    __slots__ = ()

    def QueryPerfCounter(self, call: Call, counterId: list[int]) -> Any:  # noqa: D102
        del call
        return [_counter(key) for key in counterId if key in COUNTERS]

    def QueryPerfProviderSummary(self, call: Call, entity: Any) -> Any:  # noqa: D102
        del call
        item = self.vcenter.registry.get(entity)
        return vim.PerformanceManager.ProviderSummary(
            entity=item.ref, currentSupported=True, summarySupported=False, refreshRate=INTERVAL_S
        )

    def QueryAvailablePerfMetric(  # noqa: D102
        self,
        call: Call,
        entity: Any,
        beginTime: Any,
        endTime: Any,
        intervalId: Any,
    ) -> Any:
        del call, beginTime, endTime, intervalId
        item = self.vcenter.registry.get(entity)
        keys = COUNTERS if item.wsdl == "VirtualMachine" else ()
        return [vim.PerformanceManager.MetricId(counterId=key, instance="") for key in keys]

    def QueryPerf(self, call: Call, querySpec: list[Any]) -> Any:
        """Return one sample of each counter asked for."""
        del call
        found = []
        for spec in querySpec:
            item = self.vcenter.registry.get(spec.entity)
            if item.wsdl != "VirtualMachine":
                continue
            wanted = [metric.counterId for metric in spec.metricId] or list(COUNTERS)
            if any(key not in COUNTERS for key in wanted):
                raise vmodl.fault.InvalidArgument(
                    invalidProperty="querySpec.metricId",
                    msg="A specified parameter was not correct: querySpec.metricId",
                )
            found.append(
                vim.PerformanceManager.EntityMetric(
                    entity=item.ref,
                    sampleInfo=[vim.PerformanceManager.SampleInfo(timestamp=now(), interval=INTERVAL_S)],
                    value=[
                        vim.PerformanceManager.IntSeries(
                            id=vim.PerformanceManager.MetricId(counterId=key, instance=""),
                            value=[LONG(_value(item, key))],
                        )
                        for key in wanted
                    ],
                )
            )
        return found
