"""Proxy mode: a few streams to a relay beside the source hosts, which carries them across the circuit with BBR."""

from __future__ import annotations

from collections.abc import Sequence

from lrvmotion.config.schema import Config
from lrvmotion.forecast.estimate import Sending
from lrvmotion.model.host_option import Desired
from lrvmotion.model.inventory import SiteName
from lrvmotion.model.mode import Mode
from lrvmotion.model.setting import HostKind
from lrvmotion.plan import settings

NAME: Mode = "proxy"
CHANGES_SETTINGS = True
NEEDS_RELAY = True


def options(config: Config, site: SiteName) -> Sequence[Desired]:
    """Return the source's options; the target's stay but for the line rate, which sizes its receive window.

    With one relay the long leg still ends in the target host.
    """
    report, rate, queues = settings.field_report(config), settings.line_rate(config), settings.queues(config)
    if site == "target":
        return [rate, queues] if report else [rate]
    helpers = Desired(
        key=settings.HELPERS,
        value=config.settings.proxy_stream_helpers,
        reason="a few streams through the relay; more only where a receive window limits each",
    )
    if report:
        bind = Desired(key=settings.BIND, value=2, reason="field report")
    else:
        reason = "with one vmknic, 2 would leave traffic unbound and past the relay's route"
        bind = Desired(key=settings.BIND, value=3, reason=reason, at_least=True)
    return [helpers, rate, bind, queues]


def vmknics(_config: Config, _site: SiteName) -> int:
    """Return 1: the streams' number matters little to BBR."""
    return 1


def kinds(site: SiteName) -> tuple[HostKind, ...]:
    """Return options, and at the source routes or gateways; the target's vmknics stay as they are."""
    return ("option", "route", "gateway") if site == "source" else ("option",)


def sending(config: Config, _hosts: Sending, rtt_ms: float | None) -> Sending:
    """Return the relay's BBR with the configured streams and the window of the target's raised line rate."""
    return Sending(
        streams=max(config.settings.proxy_stream_helpers, 1),
        law="bbr",
        window_bytes=settings.window_bytes(config.settings.expected_line_rate_mbytes, rtt_ms),
        relayed=True,
    )
