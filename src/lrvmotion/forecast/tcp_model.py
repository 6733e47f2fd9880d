"""What TCP carries over a path, by the published equations: loss-limited, window-limited, line-limited; and back.

Rates are Mbit/s of payload, RTTs ms, losses ratios 0-1 of segments, windows and the MSS bytes, for one stream unless
said.
"""

from __future__ import annotations

import math
from typing import Literal

from lrvmotion.model.load_report import CongestionControl

MATHIS = "Mathis, Semke, Mahdavi, Ott: The Macroscopic Behavior of the TCP Congestion Avoidance Algorithm, 1997"
CUBIC = "RFC 9438, section 5 (CUBIC's response function)"
BBR = "Cardwell et al.: BBR: Congestion-Based Congestion Control, 2016: the rate holds until loss nears 15-20 %"
WINDOW = "RFC 9293: at most one window in flight per round trip"
LINE = "line rate less headers: 1448 of 1538 bytes of an Ethernet frame at MTU 1500"

# Mathis's constant without delayed acknowledgements: sqrt(3/2). With them it would be sqrt(3/4); the measured rates of
# Linux and of the field fit the former (within 20 % from 0.1 to 1 % of loss).
_MATHIS_C = math.sqrt(1.5)
_CUBIC_C = 1.054  # RFC 9438 section 5: (C (3 + beta) / (4 (1 - beta)))^(1/4) with C 0.4 and beta 0.7, W in segments
# BBR's probing gain is 1.25: where more than 1 - 1/1.25 is lost, a probe brings back no more than was sent before.
_BBR_EDGE, _BBR_END = 0.15, 0.20
# An Ethernet segment at MTU 1500 with TCP timestamps: 1448 bytes of payload in 1538 on the wire, gap and preamble too.
PAYLOAD_SHARE = 1448 / 1538


def mathis(mss: int, rtt_ms: float, loss: float) -> float:
    """Return Reno's rate under random loss: MSS/RTT * sqrt(3/2)/sqrt(p); infinite without loss."""
    return math.inf if loss <= 0 else _per_rtt(mss, rtt_ms) * _MATHIS_C / math.sqrt(loss)


def cubic(mss: int, rtt_ms: float, loss: float) -> float:
    """Return CUBIC's rate: its response function, 1.054 (RTT/p)^(3/4) segments per RTT, or Reno's where that is more.

    The latter is its Reno-friendly region (RFC 9438, section 4.3).
    """
    if loss <= 0:
        return math.inf
    own = _per_rtt(mss, rtt_ms) * _CUBIC_C * math.pow(rtt_ms / 1000 / loss, 0.75)
    return max(own, mathis(mss, rtt_ms, loss))


def bbr_share(loss: float) -> float:
    """Return which share of the bottleneck BBR delivers at *loss*: 1 - p up to 15 %, from there on falling to 0."""
    fading = min(max((_BBR_END - loss) / (_BBR_END - _BBR_EDGE), 0.0), 1.0)
    return (1 - loss) * fading


def window(window_bytes: float, rtt_ms: float) -> float:
    """Return what a window carries: one of it a round trip."""
    return window_bytes * 8 / (rtt_ms / 1000) / 1e6


def line(rate_mbps: float) -> float:
    """Return the payload that a line of *rate_mbps* carries at MTU 1500 with TCP timestamps."""
    return rate_mbps * PAYLOAD_SHARE


def loss_limited(law: CongestionControl, mss: int, rtt_ms: float, loss: float) -> float:
    """Return the rate that *law* reaches at *loss* where nothing else limits it; infinite for BBR."""
    if law == "reno":
        return mathis(mss, rtt_ms, loss)
    if law == "cubic":
        return cubic(mss, rtt_ms, loss)
    return math.inf


def effective_loss(law: Literal["reno", "cubic"], mss: int, rtt_ms: float, rate_mbps: float) -> float:
    """Return the loss at which *law* reaches *rate_mbps* (above 0): the inverse of *loss_limited*, at most 1.

    It is the loss that the algorithm feels: a burst within one round trip counts once.
    """
    reno = min((_per_rtt(mss, rtt_ms) * _MATHIS_C / rate_mbps) ** 2, 1.0)
    if law == "reno":
        return reno
    own = (rtt_ms / 1000) * math.pow(_per_rtt(mss, rtt_ms) * _CUBIC_C / rate_mbps, 4 / 3)
    return max(reno, min(own, 1.0))


def _per_rtt(mss: int, rtt_ms: float) -> float:
    """Return the rate of one segment a round trip."""
    return mss * 8 / (rtt_ms / 1000) / 1e6
