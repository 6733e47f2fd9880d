"""Write the packet filter rules that bring new connections to the relay: text from a document, nothing else.

Only SYNs are caught, and a connection tracking rule stays loaded as long as the table, so that neither inserting nor
withdrawing the redirect disturbs live connections (measured). `relayd.py` withdraws by the same names.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any, Literal

from lrvmotion.relay import answers

_LISTED: dict[str, Any] = {"nftables": [{}]}
HITS = "hits"  # new connections that were caught
ECHO = "echo"  # ping requests from a source to a target that came through the box: the proof of the path
FENCED = "fenced"  # packets to the relay's own port that were dropped
ARRIVED = (
    "arrived"  # new connections that reached the relay's own port: what was caught and is missing was dropped here
)
STRAY = "stray"  # packets of relayed connections that connection tracking calls invalid: dropped
_KNOWN_S = 180  # a relayed connection says something every minute: the relay asks an idle one
CATCH = "catch"  # the chain that is flushed to withdraw

Family = Literal["ip", "ip6"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """What is caught, and where it goes.

    *table*: name of our table, `lrvmotion_<run>`: small letters, digits, underscore; iptables takes the first 20
    characters of <run>. *interface*: LAN interface the connections come in by, None: any. *sources*, *targets*:
    addresses or networks, of one *family*. *port*: of the service. *listen_port*: of the relay on this box.
    """

    table: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    port: int
    listen_port: int
    family: Family = "ip"
    interface: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", self.table):
            message = f"{self.table!r} is not a table's name"
            raise ValueError(message)
        if self.interface is not None and not re.fullmatch(r"[^\s/\"'\\{};]{1,15}", self.interface):
            message = f"{self.interface!r} is not an interface's name"
            raise ValueError(message)
        for port in (self.port, self.listen_port):
            if not 1 <= port <= 65535:
                message = f"{port} is not a port"
                raise ValueError(message)
        version = 4 if self.family == "ip" else 6
        for entry in self.sources + self.targets:
            if ipaddress.ip_network(entry).version != version:
                message = f"{entry} is not of family {self.family}"
                raise ValueError(message)
        if not self.sources or not self.targets:
            message = "a redirect needs sources and targets"
            raise ValueError(message)

    @property
    def guard(self) -> dict[str, str]:
        """The entry of relayd's `redirects` for these rules where nft loads them."""
        return {"kind": "nft", "family": self.family, "name": self.table}

    @property
    def iptables_guard(self) -> dict[str, str]:
        """The entry of relayd's `redirects` for these rules where iptables loads them."""
        return {"kind": "iptables", "family": self.family, "name": _chain(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What our rules have seen: packets, by counter."""

    hits: int
    echo: int
    fenced: int


# --- nft --------------------------------------------------------------------------------------------------------


def nft_install(redirect: Redirect) -> str:
    """Return a script for `nft -f`: one transaction that rebuilds the table, whether or not it is there."""
    name = f"{redirect.family} {redirect.table}"
    return f"table {name}\ndelete table {name}\ntable {name} {{\n{_body(redirect)}}}\n"


def nft_owned(redirect: Redirect) -> str:
    """Return the same table for a child `nft -i` to own (`flags owner`, kernel 5.12): it is gone with that process.

    One line, because each line that nft reads is a transaction of its own.
    """
    body = "".join(_one_line(line) for line in _body(redirect).splitlines())
    return f"add table {redirect.family} {redirect.table} {{ flags owner; {body}}}\n"


def nft_withdraw(redirect: Redirect) -> str:
    """Return a script that stops catching new connections and leaves the live ones their translation."""
    return f"flush chain {redirect.family} {redirect.table} {CATCH}\n"


def nft_restore(redirect: Redirect) -> str:
    """Return a script that catches again after `nft_withdraw`."""
    return f"add rule {redirect.family} {redirect.table} {CATCH} {_catch(redirect)}\n"


def nft_remove(redirect: Redirect) -> str:
    """Return a script that removes the table, and succeeds where there is none."""
    name = f"{redirect.family} {redirect.table}"
    return f"table {name}\ndelete table {name}\n"


def nft_list(redirect: Redirect) -> list[str]:
    """Return the command whose output `parse_counters` reads."""
    return ["nft", "-j", "list", "table", redirect.family, redirect.table]


def parse_counters(document: str) -> Counters:
    """Read `nft -j list table`. Raises answers.GarbledError, a ValueError, where it does not hold our counters."""
    found: dict[str, int] = {}
    counters = [entry.get("counter") for entry in answers.read(document, _LISTED, "nft's list")["nftables"]]
    for counter in counters:
        if isinstance(counter, dict) and counter.get("name") in (HITS, ECHO, FENCED):
            answers.check(counter, {"packets": int}, "nft's counter")
            found[counter["name"]] = counter["packets"]
    missing = {HITS, ECHO, FENCED} - found.keys()
    if missing:
        message = f"no counter {', '.join(sorted(missing))} in the table"
        raise answers.GarbledError(message)
    return Counters(hits=found[HITS], echo=found[ECHO], fenced=found[FENCED])


def tables(document: str, prefix: str = "lrvmotion_") -> tuple[tuple[str, str], ...]:
    """Return (family, name) of every table in `nft -j list tables` whose name begins with *prefix*."""
    listed = answers.read(document, {"nftables": [{"table?": {"family": str, "name": str}}]}, "nft's list of tables")
    found = [entry["table"] for entry in listed["nftables"] if "table" in entry]
    return tuple((table["family"], table["name"]) for table in found if table["name"].startswith(prefix))


def nft_fence(table: str, listen_port: int, peers: tuple[str, ...], *, family: Family = "ip") -> str:
    """Return a table for a far relay: *listen_port* answers *peers* (its near relays) only."""
    name = f"{family} {table}"
    kind = "ipv4_addr" if family == "ip" else "ipv6_addr"
    return (
        f"table {name}\ndelete table {name}\ntable {name} {{\n"
        f"  counter {FENCED} {{ }}\n"
        f"  set peers {{ type {kind}; flags interval; elements = {{ {_elements(peers)} }}; }}\n"
        "  chain fence {\n"
        "    type filter hook input priority 0; policy accept;\n"
        f"    tcp dport {listen_port} {family} saddr != @peers counter name {FENCED} drop;\n"
        "  }\n}\n"
    )


def _body(redirect: Redirect) -> str:
    kind = "ipv4_addr" if redirect.family == "ip" else "ipv6_addr"
    family = redirect.family
    pair = f"{family} saddr @sources {family} daddr @targets"
    echo = "icmp type echo-request" if family == "ip" else "icmpv6 type echo-request"
    listen = f"tcp dport {redirect.listen_port}"
    syn = "tcp flags & (fin | syn | rst | ack) == syn"
    ends = f"{family} saddr . tcp sport . {family} daddr"
    # Priorities as numbers (dstnat is -100, filter 0, srcnat 100): older nft knows no names. Whoever comes to our port
    # without having been redirected is dropped before the relay has to refuse him. A nat chain sees the first packet
    # of a connection alone: `arrival`, behind every filter, counts what `catch` did.
    #
    # What connection tracking calls invalid (out of the window, most often) is not translated: the true target would
    # answer it, and its reset ends the stream at the source. Of relayed connections alone: where replies do not pass
    # this box, as with one arm, every packet of a plainly forwarded connection but the first is invalid, and must pass;
    # also where its source port was a relayed one a moment ago: a SYN makes the set forget.
    return f"""\
  counter {HITS} {{ }}
  counter {ECHO} {{ }}
  counter {FENCED} {{ }}
  counter {ARRIVED} {{ }}
  counter {STRAY} {{ }}
  set sources {{ type {kind}; flags interval; elements = {{ {_elements(redirect.sources)} }}; }}
  set targets {{ type {kind}; flags interval; elements = {{ {_elements(redirect.targets)} }}; }}
  chain keepct {{
    type filter hook input priority 0; policy accept;
    ct state established counter;
  }}
  chain fence {{
    type filter hook input priority 0; policy accept;
    {listen} {family} saddr != @sources counter name {FENCED} drop;
    {listen} ct state invalid counter name {FENCED} drop;
    {listen} ct status & dnat == 0 counter name {FENCED} drop;
  }}
  chain arrival {{
    type nat hook input priority 100; policy accept;
    {listen} counter name {ARRIVED};
  }}
  set relayed {{ type {kind} . inet_service . {kind}; size 65535; flags dynamic,timeout; timeout {_KNOWN_S}s; }}
  chain {STRAY} {{
    type filter hook prerouting priority -150; policy accept;
    {pair} tcp dport {redirect.port} {syn} {ends} @relayed update @relayed {{ {ends} timeout 1s }};
    ct state invalid {pair} tcp dport {redirect.port} {ends} @relayed counter name {STRAY} drop;
    {pair} tcp dport {redirect.port} ct status dnat update @relayed {{ {ends} }};
  }}
  chain proof {{
    type filter hook prerouting priority -150; policy accept;
    {echo} {pair} counter name {ECHO};
  }}
  chain {CATCH} {{
    type nat hook prerouting priority -100; policy accept;
    {_catch(redirect)};
  }}
"""


def _catch(redirect: Redirect) -> str:
    family = redirect.family
    interface = f'iifname "{redirect.interface}" ' if redirect.interface is not None else ""
    return (
        f"{interface}{family} saddr @sources {family} daddr @targets tcp dport {redirect.port} "
        f"tcp flags & (fin | syn | rst | ack) == syn counter name {HITS} redirect to :{redirect.listen_port}"
    )


def _elements(entries: tuple[str, ...]) -> str:
    """Join *entries* without overlaps, which an interval set refuses."""
    networks = [ipaddress.ip_network(entry) for entry in entries]
    four = ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv6Network))
    return ", ".join([*map(_short, four), *map(_short, six)])


def _short(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _one_line(line: str) -> str:
    """Write a line of a block so that it can be joined to the next."""
    text = line.strip()
    return f"{text} " if text.endswith(("{", ";")) else f"{text}; "


# --- iptables, for a box without nft ----------------------------------------------------------------------------


def iptables_install(redirect: Redirect) -> str:
    """Return input for `iptables-restore --noflush` (`ip6tables-restore`): our own chains, filled again.

    The jumps from the built-in chains are `iptables_jumps`: a restore cannot add one without doubling it.
    """
    chain = _chain(redirect)
    sources = _each(redirect.sources)
    pairs = [(source, target) for source in sources for target in _each(redirect.targets)]
    echo = "icmp --icmp-type echo-request" if redirect.family == "ip" else "icmpv6 --icmpv6-type echo-request"
    interface = f"-i {redirect.interface} " if redirect.interface is not None else ""
    listen = f"-p tcp -m tcp --dport {redirect.listen_port}"
    fresh = [f":{chain} - [0:0]", f"-F {chain}"]
    # RETURN of the established: keeps connection tracking in use, as `keepct` does.
    lines = ["*filter", *fresh, f"-A {chain} -m conntrack --ctstate ESTABLISHED -j RETURN"]
    lines += [f"-A {chain} {listen} -s {source} -m conntrack --ctstate DNAT -j RETURN" for source in sources]
    lines += [f"-A {chain} {listen} -j DROP", "COMMIT", "*mangle", *fresh]
    lines += [f"-A {chain} -s {source} -d {target} -p {echo} -j RETURN" for source, target in pairs]
    inside = _inside(redirect)
    lines += ["COMMIT", "*nat", *fresh, f":{inside} - [0:0]", f"-F {inside}"]  # last: each table is a transaction
    lines.append(f"-A {inside} {listen} -j RETURN")
    lines += [
        f"-A {chain} {interface}-s {source} -d {target} -p tcp -m tcp --dport {redirect.port} --syn "
        f"-j REDIRECT --to-ports {redirect.listen_port}"
        for source, target in pairs
    ]
    return "\n".join([*lines, "COMMIT"]) + "\n"


def iptables_jumps(redirect: Redirect) -> tuple[tuple[list[str], list[str]], ...]:
    """Return (check, add) commands: run *add* where *check* fails. Run them after `iptables_install`."""
    program = _program(redirect)
    return tuple(
        (
            [program, "-w", "-t", table, "-C", built_in, "-j", chain],
            [program, "-w", "-t", table, "-I", built_in, "1", "-j", chain],
        )
        for table, built_in, chain in _jumps(redirect)
    )


def iptables_withdraw(redirect: Redirect) -> list[str]:
    """Return the command that stops catching new connections; live ones keep their translation."""
    return [_program(redirect), "-w", "-t", "nat", "-F", _chain(redirect)]


def iptables_remove(redirect: Redirect) -> tuple[list[str], ...]:
    """Return the commands that remove jumps and chains; each fails harmlessly where its object is not there."""
    program, jumps = _program(redirect), _jumps(redirect)
    commands = [[program, "-w", "-t", table, "-D", built_in, "-j", chain] for table, built_in, chain in jumps]
    for table, _, chain in jumps:
        commands += [[program, "-w", "-t", table, "-F", chain], [program, "-w", "-t", table, "-X", chain]]
    return tuple(commands)


def iptables_save(redirect: Redirect) -> list[str]:
    """Return the command whose output `parse_iptables_counters` reads."""
    return [f"{_program(redirect)}-save", "-c"]


def parse_iptables_counters(redirect: Redirect, printed: str) -> Counters:
    """Read `iptables-save -c`. Raises ValueError where our chains are not in it."""
    chain = _chain(redirect)
    if f":{chain} " not in printed:
        message = f"no chain {chain}"
        raise ValueError(message)

    def count(pattern: str) -> int:
        lines = re.finditer(rf"^\[(\d+):\d+\] -A {chain} (.*)$", printed, re.MULTILINE)
        return sum(int(line[1]) for line in lines if re.search(pattern, line[2]))

    return Counters(hits=count("-j REDIRECT"), echo=count("icmp"), fenced=count("-j DROP"))


def _jumps(redirect: Redirect) -> tuple[tuple[str, str, str], ...]:
    """Return (table, built-in chain, our chain) of every jump."""
    chain = _chain(redirect)
    return (
        ("filter", "INPUT", chain),
        ("mangle", "PREROUTING", chain),
        ("nat", "INPUT", _inside(redirect)),
        ("nat", "PREROUTING", chain),
    )


def _program(redirect: Redirect) -> str:
    return "iptables" if redirect.family == "ip" else "ip6tables"


def _chain(redirect: Redirect) -> str:
    """Return the chain's name: at most 28 characters."""
    return "LRVM_" + redirect.table.removeprefix("lrvmotion_")[:20]


def _inside(redirect: Redirect) -> str:
    """Return the name of the chain that counts what arrived: a chain with a REDIRECT cannot be called from INPUT."""
    return _chain(redirect) + "_in"


def _each(entries: tuple[str, ...]) -> list[str]:
    return _elements(entries).split(", ")
