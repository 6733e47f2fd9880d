"""The redirect as a value: read back structurally from what nft or iptables lists, never as text compared."""

from __future__ import annotations

import ipaddress
import itertools
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from lrvmotion.model.setting import Value, document
from lrvmotion.relay import answers
from lrvmotion.relay.redirect import render
from lrvmotion.relay.redirect.render import Redirect

_MARK = "# redirect: "


def value(redirect: Redirect) -> Value:
    """Return *redirect* as a plan's value."""
    fields = asdict(redirect)
    del fields["table"]  # it is in the key
    return document(**fields)


def from_value(table: str, planned: Value) -> Redirect:
    """Return the redirect that *value* made a value of; ValueError for anything else."""
    fields = planned.as_document()
    return Redirect(
        table=table,
        sources=tuple(fields["sources"]),
        targets=tuple(fields["targets"]),
        port=fields["port"],
        listen_port=fields["listen_port"],
        family=fields["family"],
        interface=fields["interface"],
    )


def canonical(entries: Iterable[str]) -> tuple[str, ...]:
    """Return addresses and networks of one family joined, sorted, a single address without its length."""
    networks = [ipaddress.ip_network(entry, strict=False) for entry in entries]
    four = ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv6Network))
    both: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = [*four, *six]
    return tuple(str(n.network_address if n.num_addresses == 1 else n) for n in both)


def header(redirect: Redirect) -> str:
    """Return the first line of a script that loads *redirect*: what a withdrawn table no longer tells."""
    return f"{_MARK}{value(redirect).data}\n"


def nft_observed(listed: str, script: str) -> Value:
    """Return the redirect that `nft -j list table` *listed*.

    A table whose catching rule was withdrawn still is what it was: its port and interface come from the *script* that
    loaded it. Raises answers.GarbledError where the list is not whole.
    """
    with answers.understood("what nft lists of the redirect", listed):
        return _nft_observed(listed, script)


def _nft_observed(listed: str, script: str) -> Value:
    entries: list[dict[str, Any]] = json.loads(listed)["nftables"]
    sets = {entry["set"]["name"]: _elements(entry["set"].get("elem", [])) for entry in entries if "set" in entry}
    chains: dict[str, list[list[dict[str, Any]]]] = {}
    for entry in entries:
        if "rule" in entry:
            chains.setdefault(entry["rule"]["chain"], []).append(entry["rule"]["expr"])
    listen = next((_match(expr, "tcp", "dport") for expr in chains.get("fence", [])), None)
    fields: dict[str, Any] = {
        "family": next(entry["table"]["family"] for entry in entries if "table" in entry),
        "sources": list(sets.get("sources", ())),
        "targets": list(sets.get("targets", ())),
        "listen_port": listen,
        "port": None,
        "interface": None,
    }
    catching = chains.get(render.CATCH, [])
    if len(catching) == 1:
        fields["port"] = _match(catching[0], "tcp", "dport")
        fields["interface"] = _meta(catching[0], "iifname")
        fields["listen_port"] = next((e["redirect"].get("port") for e in catching[0] if "redirect" in e), None)
    elif not catching:
        fields.update(_withdrawn(script))
    return document(**fields)


def iptables_observed(redirect_family: str, chain: str, saved: str, script: str) -> Value | None:
    """Return the redirect that `iptables-save` shows in *chain*, None where there is no such chain.

    Raises answers.GarbledError where it is not whole.
    """
    if f":{chain} " not in saved:
        return None
    with answers.understood("what iptables-save shows of the redirect", saved):
        return _iptables_observed(redirect_family, chain, saved, script)


def _iptables_observed(redirect_family: str, chain: str, saved: str, script: str) -> Value:
    sources: list[str] = []
    targets: list[str] = []
    fields: dict[str, Any] = {"family": redirect_family, "listen_port": None, "port": None, "interface": None}
    catching = False
    for line in saved.splitlines():
        words = shlex.split(line)[1 if line.startswith("[") else 0 :]
        if words[:2] != ["-A", chain]:
            continue
        options = dict(itertools.pairwise(words[2:]))
        if options.get("-j") == "REDIRECT":
            catching = True
            fields["port"] = int(options["--dport"])
            fields["listen_port"] = int(options["--to-ports"])
            fields["interface"] = options.get("-i")
        elif options.get("-j") == "DROP" and fields["listen_port"] is None:
            fields["listen_port"] = int(options["--dport"])
        elif options.get("-p") in {"icmp", "icmpv6", "ipv6-icmp"}:
            sources.append(options["-s"])
            targets.append(options["-d"])
    if not catching:
        fields.update(_withdrawn(script))
    return document(**fields, sources=list(canonical(sources)), targets=list(canonical(targets)))


def iptables_script(redirect: Redirect) -> str:
    """Return a shell script that takes `load`, `withdraw` or `remove`, for a box without nft."""
    program = "iptables" if redirect.family == "ip" else "ip6tables"
    jumps = [f"{shlex.join(check)} 2>/dev/null || {shlex.join(add)}" for check, add in render.iptables_jumps(redirect)]
    removals = [f"{shlex.join(command)} 2>/dev/null" for command in render.iptables_remove(redirect)]
    loaded = [*_restored(program, render.iptables_install(redirect)), *jumps]
    return _cases(load=loaded, withdraw=[shlex.join(render.iptables_withdraw(redirect))], remove=[*removals, "true"])


def fence_owned(table: str, listen_port: int, peers: tuple[str, ...], family: render.Family) -> str:
    """Return a far relay's fence for a child `nft -i` to own, as `redirect.nft_owned`: one line, one transaction."""
    text = render.nft_fence(table, listen_port, peers, family=family)
    lines = text.partition(f"table {family} {table} {{\n")[2].strip().removesuffix("}").splitlines()
    body = "".join(f"{line.strip()} " if line.rstrip().endswith(("{", ";")) else f"{line.strip()}; " for line in lines)
    return f"add table {family} {table} {{ flags owner; {body}}}\n"


def fence_script(table: str, listen_port: int, peers: tuple[str, ...], family: render.Family) -> str:
    """Return a shell script that takes `load` or `remove`: a far relay's fence on a box without nft."""
    program = "iptables" if family == "ip" else "ip6tables"
    chain = "LRVM_" + table.removeprefix("lrvmotion_")[:20]
    port = f"-A {chain} -p tcp -m tcp --dport {listen_port}"
    filled = [f"{port} -s {peer} -j RETURN" for peer in peers]
    jump = f"INPUT -j {chain}"
    rules = ["*filter", f":{chain} - [0:0]", f"-F {chain}", *filled, f"{port} -j DROP", "COMMIT"]
    inserted = f"{program} -w -C {jump} 2>/dev/null || {program} -w -I {jump}"
    removals = [f"{program} -w {what} 2>/dev/null" for what in (f"-D {jump}", f"-F {chain}", f"-X {chain}")]
    return _cases(load=[*_restored(program, "\n".join(rules)), inserted], remove=[*removals, "true"])


def _restored(program: str, rules: str) -> list[str]:
    """Return the lines of a script that load *rules* as one transaction, and end it where that fails."""
    return ["set -e", f"{program}-restore -w --noflush <<'RULES'", rules.rstrip("\n"), "RULES"]


def _cases(**cases: list[str]) -> str:
    """Return a shell script that takes the name of one of *cases* and runs its lines."""
    lines = [line for name, body in cases.items() for line in (f"{name})", *body, ";;")]
    return "\n".join(["case $1 in", *lines, "esac", ""])


def _withdrawn(script: str) -> dict[str, Any]:
    first = script.partition("\n")[0]
    if not first.startswith(_MARK):
        return {}
    loaded: dict[str, Any] = json.loads(first.removeprefix(_MARK))
    return {key: loaded.get(key) for key in ("port", "interface")}


def _elements(listed: Iterable[Any]) -> tuple[str, ...]:
    """Read the elements of an interval set: an address, a prefix or a range."""
    found: list[str] = []
    for entry in listed:
        if isinstance(entry, str):
            found.append(entry)
        elif "prefix" in entry:
            found.append(f"{entry['prefix']['addr']}/{entry['prefix']['len']}")
        elif "range" in entry:
            first, last = (ipaddress.ip_address(end) for end in entry["range"])
            found += [str(network) for network in ipaddress.summarize_address_range(first, last)]
    return canonical(found)


def _match(expressions: Iterable[Mapping[str, Any]], protocol: str, field: str) -> Any:  # noqa: ANN401 - nft's JSON
    for expression in expressions:
        match = expression.get("match", {})
        if match.get("left") == {"payload": {"protocol": protocol, "field": field}}:
            return match["right"]
    return None


def _meta(expressions: Iterable[Mapping[str, Any]], key: str) -> Any:  # noqa: ANN401 - nft's JSON
    for expression in expressions:
        match = expression.get("match", {})
        if match.get("left") == {"meta": {"key": key}}:
            return match["right"]
    return None
