"""Whether a relay host's packet filter lets vMotion through: tried there, and what opens it."""

from __future__ import annotations

import ipaddress
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

from lrvmotion.model.relay.relay_host import Block, BoxFacts, FirewallView
from lrvmotion.model.relay.relay_spec import RelaySpec
from lrvmotion.model.setting import SettingKey
from lrvmotion.ports.shell import Shell
from lrvmotion.relay.redirect import parse as rules

MOST = 32  # sources that are tried
TRIAL_S = 300.0  # each source that is shut out takes some seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A rule that lets packets through: the setting's *key*, and the *command* that an administrator would type."""

    key: SettingKey
    command: str


def look(shell: Shell, seen: BoxFacts, spec: RelaySpec) -> FirewallView:
    """Try on the host behind *shell* whether its rules would let the vMotion of *spec* through; nothing is changed.

    IPv4 alone is tried. What another device in between drops cannot be seen, nor what no packet filter does (eBPF).
    """
    interface = seen.interface_of(spec.address)
    senders = _four(spec.accept_proxy_from if spec.far else spec.sources)
    targets = [] if spec.far else _four(spec.targets)
    if interface is None or not seen.python or not senders or not (targets or spec.far):
        return FirewallView(reason="only IPv4 is tried" if seen.python else "the host has no Python to try it with")
    asked = {
        "address": spec.address, "interface": interface, "port": spec.service_port, "listen_port": spec.listen_port,
        "sources": senders[:MOST], "targets": targets, "redirected": not spec.far,
        "dials": [[address, port] for entry, port in spec.dials for address in _four((entry,))],
        "addresses": [[e.interface, f"{e.address}/{e.length}"] for e in seen.addresses if ":" not in e.address],
    }  # fmt: skip
    script = resources.files("lrvmotion.relay.packet_filter").joinpath("trial.py").read_bytes()
    done = shell.run([seen.python, "-", json.dumps(asked)], stdin=script, timeout_s=TRIAL_S)
    try:
        return parse(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError):
        return FirewallView(reason=done.stderr.strip().rpartition("\n")[2] or f"exit status {done.status}")


def parse(answer: dict[str, Any]) -> FirewallView:
    """Read what filtertrial.py printed; ValueError, KeyError or TypeError for anything else."""
    fields = ("what", "program", "family", "table", "chain", "rule")
    found = [
        Block(**{name: str(entry[name]) for name in fields}, hook=str(entry.get("hook", "")))  # type: ignore[arg-type]
        for entry in answer["blocks"]
    ]
    zone = answer["firewalld"] or {"zone": None, "bound": False, "forwards": False, "owned": False}
    return FirewallView(
        blocks=tuple(dict.fromkeys(found)), ufw=answer["ufw"], docker=answer["docker"], out=tuple(answer["out"]),
        zone=zone["zone"], bound=zone["bound"], forwards=zone["forwards"], owned=zone["owned"], reason=answer["reason"],
    )  # fmt: skip


def commands(view: FirewallView, seen: BoxFacts, spec: RelaySpec) -> dict[Block, str]:
    """Return what an administrator would type against each rule that stands in the way."""
    return {
        block: "; ".join(opening.command for opening in _openings(block, view, seen, spec, spec.run))
        for block in view.blocks
    }


def openings(view: FirewallView, seen: BoxFacts, spec: RelaySpec, run: str) -> list[Opening]:
    """Return what lets the vMotion of *spec* through, each rule with the mark of *run* where its tool takes one."""
    found = [opening for block in view.blocks for opening in _openings(block, view, seen, spec, run)]
    return list({opening.key: opening for opening in found}.values())


def _openings(block: Block, view: FirewallView, seen: BoxFacts, spec: RelaySpec, run: str) -> Iterator[Opening]:
    """Return the rules against *block*: by the tool that made it, else where it stands."""
    if block.what == "output":
        yield from _outgoing(block, view, spec, run)
        return
    lan = seen.interface_of(spec.address) or ""
    senders = rules.canonical(spec.accept_proxy_from) if spec.far else (_network(seen, spec.address),)
    for sender in senders:
        # Forwarded past the relay, a connection's answers do not come back this way: firewalld drops it as invalid,
        # whatever its zones allow, so that it takes a rule at the head, where its table is not its own.
        by_zone = view.zone is not None and (block.what == "input" or view.owned)
        early = block.program != "nft" and block.table != "filter"  # raw and mangle are nobody's but the rule's own
        if early:
            if block.is_early:
                matches = [f"-s {sender} -i {lan}"]
            elif block.what == "input":
                matches = [f"-s {sender} -i {lan} -p tcp -m tcp --dport {spec.listen_port}"]
            else:
                matches = [f"-s {sender} -i {lan} -o {out}" for out in view.out]
            yield from (_iptables(block, block.chain, one, run) for one in matches)
        elif by_zone and (block.table == "firewalld" or block.program != "nft"):
            yield from _firewalld(block, view, lan, sender, spec.listen_port)
        elif block.what != "input" and view.docker and block.program != "nft":
            yield from (_iptables(block, "DOCKER-USER", f"-s {sender} -i {lan} -o {out}", run) for out in view.out)
        elif view.ufw and block.program != "nft":
            yield from _ufw(block, view, lan, sender, spec.listen_port, run)
        elif block.program == "nft":
            sent = f"ip saddr {sender}"
            if block.is_early:
                matches = [sent]
            elif block.what == "input":
                matches = [f"{sent} tcp dport {spec.listen_port}"]
            else:
                matches = [f'oifname "{out}" {sent}' for out in view.out]
            for one in matches:
                match = f'iifname "{lan}" {one}'  # as nft itself lists it
                rule = f"{block.family} {block.table} {block.chain} {match} accept"
                key = SettingKey.of("firewall", f'nft/{rule} comment "lrvmotion-{run}"')
                yield Opening(key=key, command=f"nft insert rule {rule}")
        elif block.what != "input":
            yield from (_iptables(block, block.chain, f"-s {sender} -i {lan} -o {out}", run) for out in view.out)
        else:
            yield _iptables(block, block.chain, f"-s {sender} -i {lan} -p tcp -m tcp --dport {spec.listen_port}", run)


def _outgoing(block: Block, view: FirewallView, spec: RelaySpec, run: str) -> Iterator[Opening]:
    """Return the rules that let the relay's own connections out."""
    for address, port in spec.dials:
        if ":" in address:
            continue
        (to,) = rules.canonical((address,))
        if block.program == "nft":
            rule = f"{block.family} {block.table} {block.chain} ip daddr {to} tcp dport {port} accept"
            key = SettingKey.of("firewall", f'nft/{rule} comment "lrvmotion-{run}"')
            yield Opening(key=key, command=f"nft insert rule {rule}")
        elif view.ufw and block.table == "filter":
            rule = f"allow out to {to} port {port} proto tcp"
            key = SettingKey.of("firewall", f"ufw/{rule} comment 'lrvmotion-{run}'")
            yield Opening(key=key, command=f"ufw {rule}")
        else:
            yield _iptables(block, block.chain, f"-d {to} -p tcp -m tcp --dport {port}", run)


def _iptables(block: Block, chain: str, matches: str, run: str) -> Opening:
    table = "" if block.table == "filter" else f"-t {block.table} "
    rule = f"{table}{chain} {matches} -m comment --comment lrvmotion-{run} -j ACCEPT"
    key = SettingKey.of("firewall", f"{block.program}/{rule}")
    return Opening(key=key, command=f"{block.program} {table}-I {chain} {matches} -j ACCEPT")


def _firewalld(block: Block, view: FirewallView, lan: str, sender: str, port: int) -> Iterator[Opening]:
    """firewalld forwards within a zone only, and only between interfaces that are in it by name (1.0 and later)."""
    if block.what == "input":
        needed = [f'rule family="ipv4" source address="{sender}" port port="{port}" protocol="tcp" accept']
    else:
        needed = ([] if view.bound else [f"interface={lan}"]) + ([] if view.forwards else ["forward"])
    for rule in needed:
        words = f"--add-rich-rule={shlex.quote(rule)}" if rule.startswith("rule ") else f"--add-{rule}"
        command = f"firewall-cmd --zone={view.zone} {words}"
        yield Opening(key=SettingKey.of("firewall", f"firewalld/{view.zone} {rule}"), command=command)


def _ufw(block: Block, view: FirewallView, lan: str, sender: str, port: int, run: str) -> Iterator[Opening]:
    if block.what == "input":
        found = [f"allow in on {lan} from {sender} to any port {port} proto tcp"]
    else:
        found = [f"route allow in on {lan} out on {out} from {sender}" for out in view.out]
    for rule in found:
        yield Opening(key=SettingKey.of("firewall", f"ufw/{rule} comment 'lrvmotion-{run}'"), command=f"ufw {rule}")


def _network(seen: BoxFacts, address: str) -> str:
    """Return the vMotion network that *address* of the host lies in: whoever sends to the relay is its neighbour."""
    length = next(entry.length for entry in seen.addresses if entry.address == address)
    return str(ipaddress.ip_network(f"{address}/{length}", strict=False))


def _four(entries: tuple[str, ...]) -> list[str]:
    """Return an IPv4 address for each of *entries*, addresses or networks."""
    networks = [ipaddress.ip_network(entry, strict=False) for entry in entries if ":" not in entry]
    return [str(network[1] if network.num_addresses > 2 else network[0]) for network in networks]
