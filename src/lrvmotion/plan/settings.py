"""The advanced options that modes set: their keys, and what several modes want of them and have from them."""

from __future__ import annotations

from lrvmotion.config.schema import Config
from lrvmotion.model.host_option import Desired

HELPERS = "Migrate.VMotionStreamHelpers"
LINE_RATE = "Migrate.NetExpectedLineRateMBps"
BIND = "Migrate.BindToVmknic"
QUEUES = "Net.TcpipRxDispatchQueues"
KEYS = (HELPERS, LINE_RATE, BIND, QUEUES)

# LINE_RATE as shipped sizes the window by rate x RTT above 4 ms, below it has a fixed size (unconfirmed on hardware:
# the options' names and defaults say so).
DEFAULT_LINE_MBYTES = 133
LATENCY_MODE_MS, FIXED_WINDOW = 4.0, 562_540


def field_report(config: Config) -> bool:
    """Whether the options are to be exactly those of the field report."""
    return config.settings.profile == "field-report"


def line_rate(config: Config) -> Desired:
    """Return LINE_RATE as configured."""
    return Desired(
        key=LINE_RATE,
        value=config.settings.expected_line_rate_mbytes,
        reason="sizes vMotion's socket buffers for the bandwidth-delay product (MB/s); the default is 133",
    )


def queues(config: Config) -> Desired:
    """Return QUEUES as configured."""
    value = config.settings.rx_dispatch_queues
    return Desired(key=QUEUES, value=value, reason="field report; takes effect at a reboot")


def window_bytes(line_mbytes: int, rtt_ms: float | None) -> float | None:
    """Return the receive window of one stream where LINE_RATE is *line_mbytes*; None where the RTT is not known."""
    if rtt_ms is None:
        return None
    return FIXED_WINDOW if rtt_ms < LATENCY_MODE_MS else max(FIXED_WINDOW, line_mbytes * 1e6 * rtt_ms / 1000)
