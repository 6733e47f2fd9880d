"""First contact with two vCenters and a relay host: what they show is accepted, then both inventories are read."""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lrvmotion.config import proposal
from lrvmotion.config.address_pool import parse_pool
from lrvmotion.config.field_types import host_name
from lrvmotion.config.schema import Config, parse
from lrvmotion.errors import TrustError, UsageError
from lrvmotion.events import Observer
from lrvmotion.model.inventory import SITES, Inventory, SiteName
from lrvmotion.model.target_id import TargetId
from lrvmotion.run.credentials import Credentials
from lrvmotion.workflows.connections import Connections, records


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What *who* ("source", "relay") showed: a *pin* for the configuration, and the *prints* to compare it by.

    *expected* is the pin that the user gave, None where they gave none.
    """

    who: str
    what: str
    where: str
    pin: str
    prints: tuple[tuple[str, str], ...]
    option: str
    expected: str | None

    @property
    def matches(self) -> bool:
        """Whether it is what the user expected."""
        return self.expected is not None and self.expected in {self.pin, *(text for _, text in self.prints)}

    @property
    def fingerprints(self) -> str:
        """All of its fingerprints, with their kinds."""
        return ", ".join(f"{name} {text}" for name, text in self.prints)

    def __str__(self) -> str:
        return f"{self.what} of {self.where}: {self.fingerprints}"


Accept = Callable[[Fingerprint], bool]
ChooseAddress = Callable[[str, Sequence[str]], str]


def introduce(
    given: dict[str, Any],
    credentials: Credentials,
    observer: Observer,
    *,
    accept: Accept | None,
    address: ChooseAddress | None,
) -> proposal.Introduction:
    """Return what is there. *given* is a configuration whose pins and box addresses may still be missing.

    *accept* asks a person whether what is shown is right, *address* which of the addresses found a box has on the
    vMotion network; None where nobody can be asked. Raises UsageError, TrustError, UnreachableError, RefusedError.
    """
    given = copy.deepcopy(given)
    boxes = _boxes(given)
    _validate(given)
    shown = [
        *(_certificate(site, given[site]) for site in SITES),
        *(_host_key(option, box) for option, box in boxes.items()),
    ]
    settle(shown, accept)
    for site, one in zip(SITES, shown, strict=False):
        given[site]["sha256"] = one.pin
    for box, one in zip(boxes.values(), shown[2:], strict=True):
        box["host_key"] = one.pin
    unplaced = {option: box for option, box in boxes.items() if not box.get("address")}
    # A box's address on the vMotion network is learnt from the box itself: until then, one that no box has.
    known = _with_addresses(given, unplaced)
    with Connections(records(known), credentials, observer) as connections:
        source, target = connections.inventory("source"), connections.inventory("target")
        for option, box in boxes.items():
            connections.shell(TargetId.relay(box["name"]))
            if option in unplaced:
                found = [one.address for one in connections.facts(TargetId.relay(box["name"])).addresses]
                side = target if option == "far" else source
                box["address"] = choose_address(option, box["name"], on_vmotion(side, found), address)
    config = parse(given, where="lrvmotion init")
    taken = [box["address"] for box in boxes.values()]
    sha1 = {one.who: text for one in shown for name, text in one.prints if name == "SHA-1"}
    near = proposal.needs(source, config.settings.source_vmknics, [*proposal.in_use(target), *taken])
    examples = parse_pool(need.example for need in near if need.example)
    far = proposal.needs(target, config.settings.target_vmknics, [*proposal.in_use(source), *taken, *examples])
    return proposal.Introduction(
        given=given,
        source=proposal.Seen(inventory=source, sha1=sha1["source"], needs=near),
        target=proposal.Seen(inventory=target, sha1=sha1["target"], needs=far),
        proposal=proposal.propose(source, target),
        boxes={box["name"]: one.prints[0][1] for box, one in zip(boxes.values(), shown[2:], strict=True)},
    )


def settle(shown: Iterable[Fingerprint], accept: Accept | None) -> None:
    """Return where everything shown is expected or accepted; TrustError for the first that is not.

    Where nobody can be asked, one error names all fingerprints and the options that accept them.
    """
    unknown = []
    for one in shown:
        if one.matches:
            continue
        if one.expected is not None:
            message = f"the {one} is not what was expected: {one.expected}"
            raise TrustError(message, hint="find out who answers there before you trust it")
        unknown.append(one)
    if accept is None and unknown:
        rows = [row for one in unknown for row in (f"  {one.what} of {one.where}", *_printed(one))]
        message = "\n".join(("nothing was written, these are not trusted yet:", *rows))
        options = " \\\n".join(f"    {one.option} {_word(one.pin)}" for one in unknown)
        raise TrustError(message, hint=f"compare the fingerprints with the consoles, then add:\n{options}")
    for one in unknown:
        if accept is not None and not accept(one):
            message = f"the {one.what} of {one.where} was not accepted; nothing was written"
            raise TrustError(message, hint="compare it with what its console shows")


def _printed(one: Fingerprint) -> list[str]:
    return [f"    {name} {text}" for name, text in one.prints]


def _word(pin: str) -> str:
    return f"'{pin}'" if " " in pin else pin


def _boxes(given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the boxes of *given* by the options that describe them."""
    relay = given.get("relay", {})
    found = {"relay": relay["source"][0]} if relay.get("source") else {}
    return found | ({"far": relay["target"]} if relay.get("target") else {})


def _validate(given: dict[str, Any]) -> None:
    """Raise UsageError for what is wrong in *given* before anybody is asked anything."""
    plain = {
        site: {key: value for key, value in given[site].items() if value is not None} for site in ("source", "target")
    }
    config = parse(plain, where="lrvmotion init")
    given["source"]["sha256"] = config.source.sha256
    given["target"]["sha256"] = config.target.sha256


def find_vcenter(given: dict[str, Any]) -> None:
    """Raise UsageError or UnreachableError where no vCenter answers at the address in *given*."""
    from lrvmotion.vsphere.certificate import fetch_certificate

    fetch_certificate(_name(given["vcenter"]), given.get("port", 443))


def find_relay(given: dict[str, Any]) -> None:
    """Raise UsageError or UnreachableError where no SSH server answers at the address in *given*."""
    from lrvmotion.ssh import fetch_host_key

    fetch_host_key(_name(given["host"]), given.get("port", 22))


def _name(text: str) -> str:
    try:
        return host_name(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _certificate(site: SiteName, given: dict[str, Any]) -> Fingerprint:
    from lrvmotion.vsphere.certificate import fetch_certificate

    host, port = given["vcenter"], given.get("port", 443)
    found = fetch_certificate(host, port)
    return Fingerprint(
        who=site, what="certificate", where=f"{site} vCenter {host}:{port}", pin=found.sha256,
        prints=(("SHA-256", _colons(found.sha256)), ("SHA-1", found.sha1)), option=f"--{site}-sha256",
        expected=given.get("sha256"),
    )  # fmt: skip


def _colons(digest: str) -> str:
    """Return *digest* as openssl and vSphere print fingerprints, to be compared by eye."""
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2)).upper()


def _host_key(option: str, box: dict[str, Any]) -> Fingerprint:
    """Return the key that *box* shows; a whole key that was given is compared at the login, where its kind is known."""
    from lrvmotion.ssh import fetch_host_key, fingerprint

    host, port, expected = box["host"], box.get("port", 22), box.get("host_key")
    if expected is None or expected.startswith("SHA256:"):
        line = fetch_host_key(host, port)
    else:
        line = " ".join(expected.split()[:2])
        expected = line
    try:
        prints = ((line.split(maxsplit=1)[0], fingerprint(line)),)
    except (IndexError, ValueError):
        message = f"--{option}-host-key is neither a key line such as 'ssh-ed25519 AAAA…' nor a fingerprint SHA256:…"
        raise UsageError(message, hint=f"ssh-keyscan -p {port} {host} prints the key") from None
    return Fingerprint(
        who=option, what="host key", where=f"{host}:{port}", pin=line, prints=prints,
        option=f"--{option}-host-key", expected=expected,
    )  # fmt: skip


def _with_addresses(given: dict[str, Any], unplaced: dict[str, dict[str, Any]]) -> Config:
    content = copy.deepcopy(given)
    for number, option in enumerate(unplaced, 1):
        _boxes(content)[option]["address"] = f"192.0.2.{number}"  # RFC 5737: documentation, on no network
    return parse(content, where="lrvmotion init")


def on_vmotion(inventory: Inventory, found: Iterable[str]) -> list[str]:
    """Return those addresses that are in the subnet of a vMotion vmknic."""
    nics = [nic for host in inventory.hosts for nic in host.vmotion_vmknics]
    subnets = {ipaddress.ip_network(f"{nic.address}/{nic.prefix_length}", strict=False) for nic in nics}
    return [one for one in found if any(ipaddress.ip_address(one) in subnet for subnet in subnets)]


def choose_address(option: str, name: str, found: Sequence[str], choose: ChooseAddress | None) -> str:
    """Return the only one of *found*, the addresses of the box *name*, or what a person chooses; UsageError without."""
    if len(found) == 1:
        return found[0]
    if choose is not None:
        return choose(name, found)
    several = f"has several addresses on the vMotion network: {', '.join(found)}"
    message = f"{TargetId.relay(name)} {several if found else 'has no address on the vMotion network of the hosts'}"
    raise UsageError(message, hint=f"name one with --{option}-address")
