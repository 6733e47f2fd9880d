"""The advanced options that modes set: their keys, and what several modes want of them and have from them."""

from __future__ import annotations

from dataclasses import dataclass

from lrvmotion.config.schema import Config
from lrvmotion.model.host_option import Desired

HELPERS = "Migrate.VMotionStreamHelpers"
LINE_RATE = "Migrate.NetExpectedLineRateMBps"
BIND = "Migrate.BindToVmknic"
QUEUES = "Net.TcpipRxDispatchQueues"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionReference:
    """What an advanced option is for; *default* is ESXi's, in words (vsphere.md 1.1, 1.2)."""

    key: str
    default: str
    meaning: str


OPTIONS = (
    OptionReference(
        key=HELPERS,
        default="0, automatic: by the speed of the host's NICs",
        meaning="how many stream helpers, and so TCP streams, a vMotion has; at most 32 before ESXi 7.0U2, then 112",
    ),
    OptionReference(
        key=LINE_RATE,
        default="133",
        meaning="the line rate, in megabytes a second, that vMotion sizes its socket buffers for; at most 2000",
    ),
    OptionReference(
        key=BIND,
        default="3, on ESXi 6.0 2",
        meaning="when vMotion binds to a vmknic: 0 never, 1 for fault tolerance only, 2 with several vmknics, 3 always",
    ),
    OptionReference(
        key=QUEUES,
        default="1, from ESXi 7.0 on 2, from 9.0 on 0 (automatic)",
        meaning="the receive queues of the host's TCP/IP stack; takes effect at a reboot of the host",
    ),
)
KEYS = tuple(option.key for option in OPTIONS)

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
