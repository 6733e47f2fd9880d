"""Look at the relay hosts: what they are, whom they see, what blocks a relay on them. Nothing is changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lrvmotion.checks import relay_hosts
from lrvmotion.checks import steering as steering_checks
from lrvmotion.config.schema import Config, FarRelay, Relay
from lrvmotion.errors import LrvmotionError, RefusedError
from lrvmotion.events import Observer, Proven
from lrvmotion.findings import Finding, errors
from lrvmotion.model.inventory import Host, SiteName
from lrvmotion.model.relay.relay_spec import RelaySpec
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.plan import Plan
from lrvmotion.plan.steering import STEERING, assignment
from lrvmotion.workflows.connections import Connections


@dataclass(slots=True, kw_only=True)
class Boxes:
    """What was found; *relay_hosts* are JSON objects, one for each."""

    findings: list[Finding] = field(default_factory=list)
    relay_hosts: list[dict[str, Any]] = field(default_factory=list)


def log_in(config: Config, connections: Connections) -> dict[str, LrvmotionError]:
    """Log in to every configured box, once; return what blocks it by the box's name, where something does."""
    away: dict[str, LrvmotionError] = {}
    for relay in config.relay.every:
        try:
            connections.shell(TargetId.relay(relay.name))
        except LrvmotionError as error:
            away[relay.name] = error
    return away


def look(
    config: Config,
    connections: Connections,
    hosts: Mapping[SiteName, Sequence[Host]],
    runs: Collection[str],
    away: Mapping[str, LrvmotionError],
    *,
    relayed: bool,
) -> Boxes:
    """Look at every configured box from the box itself; without *relayed* no host is led through one.

    A box that does not answer, or is not trusted, is a finding: *away* is what *log_in* returned.
    """
    done = Boxes()
    reasons: dict[str, str] = {}
    for relay in config.relay.every:
        try:
            if relay.name in away:
                raise away[relay.name]
            reason = _one(config, connections, relay, hosts, runs, away, done)
        except LrvmotionError as error:
            reason = error.message.removeprefix(f"{TargetId.relay(relay.name)}: ")
            done.findings.append(_away(relay, reason, error))
            done.relay_hosts.append({"relay_host": TargetId.relay(relay.name), "reachable": False})
        if reason is not None:
            reasons[relay.name] = reason
    if relayed and config.relay.source:
        _steering(config, hosts, reasons, done)
    return done


def _one(
    config: Config,
    connections: Connections,
    relay: Relay,
    hosts: Mapping[SiteName, Sequence[Host]],
    runs: Collection[str],
    away: Mapping[str, LrvmotionError],
    done: Boxes,
) -> str | None:
    """Look at one box; return why it cannot be used, None where it can."""
    from lrvmotion.relay import far_reach
    from lrvmotion.relay import neighbours as looking
    from lrvmotion.relay.packet_filter import rules

    name = TargetId.relay(relay.name)
    shell = connections.shell(name)
    seen = connections.facts(name)
    far = isinstance(relay, FarRelay)
    near_by = hosts["target" if far else "source"]
    neighbours = [nic for host in near_by if host.is_beside(relay.address) for nic in host.vmotion_vmknics]
    targets = assignment.addresses(hosts["target"])
    forward = None if far or config.relay.far is None else (config.relay.far.address, config.relay.far.listen_port)
    spec = RelaySpec(
        name=relay.name, run="", address=relay.address, listen_port=relay.listen_port,
        sources=tuple(assignment.addresses(hosts["source"])), targets=tuple(targets), forward=forward,
        accept_proxy_from=tuple(near.address for near in config.relay.source) if far else (),
    )  # fmt: skip
    standing = relay_hosts.usable(seen, spec, runs)
    if isinstance(relay, FarRelay) and not relay.forward:
        standing = [finding for finding in standing if finding.code in relay_hosts.MEASURING]
    done.findings += standing
    view = looking.look(shell, seen.python, [nic.address for nic in neighbours], targets)
    done.findings += relay_hosts.neighbours(relay.name, view, {nic.address: nic.mac for nic in neighbours})
    largest = max((nic.mtu for nic in neighbours), default=1500)
    done.findings += relay_hosts.capacity(relay.name, seen, relay.address, largest)
    if forward is not None and not _running(config, connections, runs, away):
        done.findings += relay_hosts.way_to_far(spec, far_reach.reach(shell, seen, spec))
    done.relay_hosts.append(looking.document(name, seen, relay.address, view))
    bad = errors(standing)
    if not bad and (not isinstance(relay, FarRelay) or relay.forward):
        tried = rules.look(shell, seen, spec)
        cures = rules.commands(tried, seen, spec)
        done.findings += relay_hosts.packet_filter(tried, spec, cures, opened=relay.open_firewall)
    return bad[0].summary if bad else None


def admitted(config: Config, connections: Connections, plan: Plan, observer: Observer) -> None:
    """Prove, once all is set, that the packet filters of the plan's relays let the hosts' vMotion through.

    Real hosts can only ping: so each filter is tried again as it is now (see `relay.firewall`). RefusedError with the
    rule where one drops it.
    """
    from lrvmotion.relay.packet_filter import rules

    for relay in config.relay.every:
        spec = _planned(config, relay, plan)
        if spec is None:
            continue
        seen = connections.facts(TargetId.relay(relay.name))
        view = rules.look(connections.shell(TargetId.relay(relay.name)), seen, spec)
        found = relay_hosts.packet_filter(view, spec, rules.commands(view, seen, spec), opened=False)
        shut = errors(list(found))
        if shut:
            message = f"{TargetId.relay(relay.name)}: {shut[0].summary}"
            raise RefusedError(message, hint=shut[0].hint)
        detail = "lets vMotion through" if view.reason is None else f"not known: {view.reason}"
        ok = True if view.reason is None else None
        observer(Proven(subject=f"packet filter of {relay.name}", ok=ok, detail=detail))


def _planned(config: Config, relay: Relay, plan: Plan) -> RelaySpec | None:
    """Return what *plan* has *relay* carry, None where it has no part in it."""

    hosts = {host for host, relay_by_host in plan.relay_by_host if relay_by_host == relay.name}
    pairs = [path for path in plan.proof_paths if path.source_host in hosts]
    senders = tuple(near.address for near in config.relay.source if near.name in plan.relays)
    if relay.name == plan.far:
        roles: dict[str, Any] = {"sources": (), "targets": (), "accept_proxy_from": senders}
    elif pairs:
        sources, targets = ({getattr(path, end) for path in pairs} for end in ("source_address", "target_address"))
        roles = {"sources": tuple(sorted(sources)), "targets": tuple(sorted(targets))}
    else:
        return None
    return RelaySpec(name=relay.name, run=plan.owner_id, address=relay.address, listen_port=relay.listen_port, **roles)


def _away(relay: Relay, reason: str, error: LrvmotionError) -> Finding:
    if isinstance(error, RefusedError):
        return relay_hosts.no_shell(relay.name, reason, error.hint)
    return relay_hosts.away(relay.name, reason, error.hint)


def _running(
    config: Config, connections: Connections, runs: Collection[str], away: Mapping[str, LrvmotionError]
) -> bool:
    """Whether a relay of this journal is on the far relay host already: its port is fenced then, and says nothing."""
    if config.relay.far is None or config.relay.far.name in away:
        return False
    try:
        seen = connections.facts(TargetId.relay(config.relay.far.name))
    except LrvmotionError:
        return False  # its own finding tells
    return bool(set(runs) & seen.runs)


def _steering(
    config: Config, hosts: Mapping[SiteName, Sequence[Host]], reasons: Mapping[str, str], done: Boxes
) -> None:
    """Say which hosts no relay stands beside, and what blocks the way into them."""
    served, found = assignment.assign(config.relay.source, hosts["source"], reasons)
    done.findings += found
    for relay in config.relay.source:
        for host in served.get(relay.name, ()):
            done.findings += steering_checks.relay_beside(host, relay.name, relay.address)
            done.findings += STEERING[config.steer].findings(host)
    if config.relay.far is not None:
        near = [relay for relay in config.relay.source if relay.name in served]
        done.findings += steering_checks.far(config.relay.far, near, hosts["source"], hosts["target"])
