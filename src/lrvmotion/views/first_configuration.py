"""A first configuration as commented TOML: what was given, what both vCenters hold, and mappings by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lrvmotion.config.proposal import Guess, Introduction, Names, Need, Proposal, Seen
from lrvmotion.config.schema import example_file
from lrvmotion.model.inventory import Host, Inventory
from lrvmotion.model.mode import MODE_CHOICES, MODE_NAMES
from lrvmotion.views.text import words

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import Array, Table

MOST_OFFERED = 24  # names of the target listed beside what is unmatched

_HEAD = """\
lrvmotion's configuration, written by 'lrvmotion init'. Look through it before the first plan: a line that begins
with "unmatched:" wants a decision. Every key is explained in
{example}
No secret is in this file, and none belongs in it: passwords come from LRVMOTION_SOURCE_PASSWORD and
LRVMOTION_TARGET_PASSWORD, from a password_file that only its owner can read, from the keyring, or from a prompt.

mode = "{mode}"   # {modes}; what --mode is when it is not given"""
_RELAY = """\
A near relay: a Linux host on the source hosts' vMotion network, for proxy mode. Without one there is native mode.

[[relay.source]]
name = "relay-a"
host = "relay-a.example.com"   # where SSH reaches it
user = "root"                  # or a user with passwordless sudo
key_file = "~/.ssh/id_ed25519"
host_key = "ssh-ed25519 AAAA…" # what the relay host must show; 'lrvmotion init --relay-host' fetches it
address = "10.88.0.1"          # its address on the vMotion network"""

_ORDER = (
    "name", "vcenter", "host", "port", "username", "user", "key_file", "password_file", "sha256", "host_key", "address",
)  # fmt: skip
_KEEPS = {
    "networks": "what is not listed keeps its name",
    "datastores": "what is not listed keeps its name",
    "folders": "a path that is neither listed nor there means the datacenter's own folder",
}


def starter(found: Introduction) -> str:
    """Return the configuration as TOML, what was given in force, with what was seen around it."""
    import tomlkit

    document = tomlkit.document()
    head = _HEAD.format(example=example_file(), mode=MODE_NAMES[-1], modes=" | ".join(MODE_CHOICES))
    _comment(document, head)
    _site(document, "source", "The vCenter that the VMs leave", found.given["source"], found.source)
    _site(document, "target", "The vCenter that the VMs go to", found.given["target"], found.target)
    _relays(document, found.given.get("relay", {}), found.boxes)
    _mappings(document, found.proposal)
    return tomlkit.dumps(document)


def kinds(proposal: Proposal) -> tuple[tuple[str, Names], ...]:
    """Return what is mapped by name, by its key in the configuration."""
    return ("networks", proposal.networks), ("datastores", proposal.datastores), ("folders", proposal.folders)


def _ordered(given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the keys of a site or box in the order of examples/full.toml."""
    return [(key, given[key]) for key in _ORDER if given.get(key) is not None]


def _site(document: TOMLDocument, name: str, what: str, given: Mapping[str, Any], seen: Seen) -> None:
    import tomlkit

    there = seen.inventory
    table = tomlkit.table()
    _comment(table, f"{what}: {there.version} build {there.build}, {words.count(len(there.vm_names), 'VM')}.")
    for key, value in _ordered(given):
        table.add(key, value)
        if key == "sha256":
            table["sha256"].comment("the certificate it must show")
            _comment(table, f"the same certificate's SHA-1, the thumbprint that vSphere asks for: {seen.sha1}")
    purpose = "that `plan` without VMs looks at" if name == "source" else "that VMs are placed on"
    _comment(table, f"The hosts {purpose}; without this key all of them.")
    table.add("hosts", _hosts(there))
    vmotion = tomlkit.table()
    _pools(vmotion, name, seen.needs)
    table.add("vmotion", vmotion)
    document.add(name, table)


def _hosts(there: Inventory) -> Array:
    """Return the hosts that can serve, by cluster; the others are comments that say why."""
    import tomlkit

    array = tomlkit.array()
    for cluster in sorted({host.cluster for host in there.hosts}):
        array.add_line(comment=_line(f"cluster {cluster}"))
        for host in there.hosts:
            if host.cluster != cluster:
                continue
            obstacle = _obstacle(host)
            if obstacle is None:
                nics = ", ".join(f"{nic.device} {nic.address}/{nic.prefix_length}" for nic in host.vmotion_vmknics)
                stacks = sorted({nic.netstack for nic in host.vmotion_vmknics})
                array.add_line(host.name, comment=_line(f"{host.version}, vMotion: {nics} ({', '.join(stacks)})"))
            else:
                array.add_line(comment=_line(f"left out, {obstacle}: {_quoted(host.name)},"))
    array.add_line(indent="")
    return array


def _obstacle(host: Host) -> str | None:
    if host.connection_state != "connected":
        return f"is {host.connection_state}"
    if host.in_maintenance:
        return "is in maintenance mode"
    return None if host.vmotion_vmknics else "has no vMotion vmknic"


def _pools(table: Table, site: str, needs: Sequence[Need]) -> None:
    """Say what addresses native mode needs. Which are free only a person knows: an example, and nothing in force."""
    if not needs:
        _comment(table, "Every host has as many vMotion vmknics as native mode wants: it needs no addresses here.")
        return
    _comment(table, f"Native mode adds vMotion vmknics (settings.{site}_vmknics); other modes need no addresses.")
    for need in needs:
        hosts = words.count(need.hosts, "host")
        _comment(table, f"{hosts} on {need.subnet}: {words.count(need.count, 'address')}" + _no_room(need))
    _comment(
        table,
        "Choose addresses that nobody uses. Of the example we know only that no vmknic of either vCenter has them:\n"
        "ask who runs that network before you take the # away.",
    )
    examples = ", ".join(_quoted(need.example or "…") for need in needs)
    _comment(table, f"addresses = [{examples}]")


def _no_room(need: Need) -> str:
    return "" if need.example else ", and it has no such run of addresses without a vmknic in it"


def _relays(document: TOMLDocument, given: Mapping[str, Any], boxes: Mapping[str, str]) -> None:
    import tomlkit

    if not given.get("source"):
        document.add(tomlkit.nl())
        _comment(document, _RELAY)
        return
    relay = tomlkit.table(is_super_table=True)
    near = tomlkit.aot()
    for box in given["source"]:
        near.append(_box(box, boxes, "A near relay, on the source hosts' vMotion network."))
    relay.add("source", near)
    if given.get("target"):
        relay.add("target", _box(given["target"], boxes, "A relay host at the target site, on its vMotion network."))
        _comment(relay["target"], "forward = true   # send through it; without it only measures")
    document.add("relay", relay)


def _box(given: Mapping[str, Any], boxes: Mapping[str, str], what: str) -> Table:
    import tomlkit

    table = tomlkit.table()
    _comment(table, what)
    for key, value in _ordered(given):
        table.add(key, value)
    if given["name"] in boxes:
        table["host_key"].comment(boxes[given["name"]])
    return table


def _mappings(document: TOMLDocument, proposal: Proposal) -> None:
    import tomlkit

    mappings = tomlkit.table(is_super_table=True)
    for kind, names in kinds(proposal):
        mappings.add(kind, _names(kind, names))
    pools = tomlkit.table()
    _comment(pools, "Target cluster = resource pool path; a cluster that is not listed: its root pool.")
    for cluster, paths in proposal.pools:
        for path in paths[:MOST_OFFERED]:
            _comment(pools, f"{_quoted(cluster)} = {_quoted(path)}")
    mappings.add("pools", pools)
    document.add("mappings", mappings)


def _names(kind: str, names: Names) -> Table:
    import tomlkit

    table = tomlkit.table()
    _comment(table, f"Source name = target name; {_KEEPS[kind]}.")
    open_ones = [guess for guess in names.guesses if not guess.usable]
    for guess in names.guesses:
        if guess.usable:
            table.add(guess.source, guess.target)
            if guess.match == "alike":
                table[guess.source].comment("alike but for case or punctuation")
    for guess in open_ones:
        _comment(table, _unmatched(guess, kind))
    if open_ones:
        shown = ", ".join(_quoted(name) for name in names.offers[:MOST_OFFERED])
        more = f" and {len(names.offers) - MOST_OFFERED} more" if len(names.offers) > MOST_OFFERED else ""
        _comment(table, f"The target's {kind}: {shown or 'none'}{more}.")
    return table


def _unmatched(guess: Guess, noun: str) -> str:
    line = f"unmatched: {_quoted(guess.source)} = {_quoted(guess.target or '')}"
    if guess.choices:
        shown = ", ".join(_quoted(name) for name in guess.choices[:MOST_OFFERED])
        more = f" and {len(guess.choices) - MOST_OFFERED} more" if len(guess.choices) > MOST_OFFERED else ""
        return f"{line}   # the target has {len(guess.choices)} {noun} of that name: {shown}{more}"
    return f"{line}   # a near miss" if guess.target else line


def _comment(to: TOMLDocument | Table, text: str) -> None:
    """Add *text* as comment lines; an empty one stays empty."""
    import tomlkit

    for line in text.split("\n"):
        to.add(tomlkit.comment(_line(line)) if line else tomlkit.nl())


def _quoted(name: str) -> str:
    """Return *name* as a TOML string."""
    import tomlkit

    return tomlkit.string(name).as_string()


def _line(text: str) -> str:
    """Return *text* on one line: a name must not end the comment that it is in."""
    return "".join(c if c.isprintable() else " " for c in text)
