"""Native mode: many streams of the hosts' own, spread over several vMotion vmknics on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lrvmotion.config.schema import Config
from lrvmotion.forecast.estimate import Sending
from lrvmotion.model.host_option import Desired
from lrvmotion.model.inventory import SiteName
from lrvmotion.model.mode import Mode
from lrvmotion.model.setting import HostKind
from lrvmotion.plan import settings

NAME: Mode = "native"
CHANGES_SETTINGS = True
NEEDS_RELAY = False


def options(config: Config, _site: SiteName) -> Sequence[Desired]:
    """Return the options of both sites: stream helpers, line rate, binding, receive queues."""
    helpers = Desired(
        key=settings.HELPERS,
        value=config.settings.native_stream_helpers,
        reason="the automatic count follows the NIC's speed, not loss; the field report measured 48 best",
    )
    if settings.field_report(config):
        bind = Desired(key=settings.BIND, value=2, reason="field report")
    else:
        reason = "streams are bound to the vmknics they are spread over"
        bind = Desired(key=settings.BIND, value=2, reason=reason, at_least=True)
    return [helpers, settings.line_rate(config), bind, settings.queues(config)]


def vmknics(config: Config, site: SiteName) -> int:
    """Return the configured number."""
    return config.settings.source_vmknics if site == "source" else config.settings.target_vmknics


def kinds(_site: SiteName) -> tuple[HostKind, ...]:
    """Return options, and all that a new vMotion vmknic takes."""
    return ("option", "portgroup", "vmknic", "vmotion-service", "gateway")


def sending(config: Config, hosts: Sending, rtt_ms: float | None) -> Sending:
    """Return the configured streams, with the hosts' own congestion control and the window of the raised line rate."""
    return replace(
        hosts,
        streams=max(config.settings.native_stream_helpers, 1),
        window_bytes=settings.window_bytes(config.settings.expected_line_rate_mbytes, rtt_ms),
    )
