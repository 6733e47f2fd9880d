"""Every host setting we manage: its key, the desired value in each mode, and the reason."""

from __future__ import annotations

from typing import Literal

from lrvmotion.config.schema import Config
from lrvmotion.model.host_option import Desired

HELPERS = "Migrate.VMotionStreamHelpers"
LINE_RATE = "Migrate.NetExpectedLineRateMBps"
BIND = "Migrate.BindToVmknic"
QUEUES = "Net.TcpipRxDispatchQueues"
KEYS = (HELPERS, LINE_RATE, BIND, QUEUES)

Role = Literal["source", "target"]


def options(config: Config, mode: Literal["native", "proxy"], role: Role) -> list[Desired]:
    """Return the options that *mode* wants on a host of *role* (vsphere.md 1.2).

    In proxy mode the target's options stay, but for the line rate, which sizes its receive window: with one relay the
    long leg still ends in the target host.
    """
    settings = config.settings
    report = settings.profile == "field-report"
    rate = Desired(
        key=LINE_RATE,
        value=settings.expected_line_rate_mbytes,
        reason="sizes vMotion's socket buffers for the bandwidth-delay product (MB/s); the default is 133",
    )
    queues = Desired(key=QUEUES, value=settings.rx_dispatch_queues, reason="field report; takes effect at a reboot")
    if mode == "native":
        bind = Desired(key=BIND, value=2, reason="streams are bound to the vmknics they are spread over", at_least=True)
        helpers = Desired(
            key=HELPERS,
            value=settings.native_stream_helpers,
            reason="the automatic count follows the NIC's speed, not loss; the field report measured 48 best",
        )
        return [helpers, rate, _bind_exactly(bind) if report else bind, queues]
    if role == "target":
        return [rate, queues] if report else [rate]
    bind = Desired(
        key=BIND,
        value=2 if report else 3,
        reason="field report"
        if report
        else "with one vmknic, 2 would leave traffic unbound and past the relay's route",
        at_least=not report,
    )
    helpers = Desired(
        key=HELPERS,
        value=settings.proxy_stream_helpers,
        reason="a few streams through the relay; more only where a receive window limits each",
    )
    return [helpers, rate, bind, queues]


def _bind_exactly(bind: Desired) -> Desired:
    return Desired(key=bind.key, value=2, reason="field report")


def vmknics(config: Config, mode: Literal["native", "proxy"], role: Role) -> int:
    """Return how many vMotion vmknics a host of *role* needs at least in *mode*."""
    if mode == "proxy":
        return 1
    return config.settings.source_vmknics if role == "source" else config.settings.target_vmknics
