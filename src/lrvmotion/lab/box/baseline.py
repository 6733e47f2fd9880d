"""A namespace's network as it was when its box was made: what a power cycle goes back to."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lrvmotion.lab.box import sysctl
from lrvmotion.lab.box.netns import command, ip, ip_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Settings, devices with their addresses (iproute2's JSON), routes and rules of a namespace."""

    sysctls: dict[str, str]
    devices: list[dict[str, Any]]
    routes: list[dict[str, Any]]
    rules: list[dict[str, Any]]

    @classmethod
    def take(cls, namespace: str) -> Baseline:
        """Read it from *namespace*."""
        return cls(
            sysctls=sysctl.read(namespace),
            devices=ip_json(namespace, "address", "show"),
            routes=added_routes(namespace),
            rules=ip_json(namespace, "-4", "rule", "show"),
        )

    def write(self, path: Path) -> None:
        """Write it as JSON to *path*."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read what *write* wrote at *path*."""
        return cls(**json.loads(path.read_text()))

    def put_back(self, namespace: str) -> None:
        """Make *namespace* what it was: what a real machine forgets when its power goes."""
        known = {device["ifname"] for device in self.devices}
        for device in ip_json(namespace, "link", "show"):
            name = device["ifname"]
            if name not in known:
                command(None, "ip", "-n", namespace, "link", "delete", name)
            elif name != "lo":
                ip(namespace, "link", "set", name, "down")
        clear_firewall(namespace)
        for family, kind in itertools.product(("-4", "-6"), ("boot", "static")):
            flush = ("route", "flush", "table", "all", "proto", kind)
            command(None, "ip", "-n", namespace, family, *flush)
        for device in self.devices:
            ip(namespace, "-4", "address", "flush", "dev", device["ifname"])
        command(None, "ip", "-n", namespace, "tcp_metrics", "flush", "all")
        sysctl.restore(namespace, self.sysctls)
        for device in self.devices:
            _put_back_device(namespace, device)
        for route in self.routes:
            _put_back_route(namespace, route)
        self._put_back_rules(namespace)
        sysctl.restore(namespace, self.sysctls)

    def _put_back_rules(self, namespace: str) -> None:
        for rule in ip_json(namespace, "-4", "rule", "show"):
            if rule not in self.rules:
                command(None, "ip", "-n", namespace, "rule", "delete", *_rule(rule))
        now = ip_json(namespace, "-4", "rule", "show")
        for rule in self.rules:
            if rule not in now:
                ip(namespace, "rule", "add", *_rule(rule))


def added_routes(namespace: str) -> list[dict[str, Any]]:
    """Return the IPv4 routes of *namespace* that somebody added, without those of its own addresses."""
    routes = ip_json(namespace, "-4", "route", "show", "table", "all")
    return [
        {key: value for key, value in route.items() if key != "expires"}
        for route in routes
        if route.get("protocol") not in ("kernel", "redirect")
    ]


def clear_firewall(namespace: str) -> None:
    """Remove every packet filter rule of *namespace*, new and old style, and its known flows."""
    command(namespace, "nft", "flush", "ruleset")
    for program in ("iptables-legacy", "ip6tables-legacy"):
        # Only where it was used: reading a table would load the machine's module for it.
        tables = command(namespace, "cat", f"/proc/net/ip{'6' if '6' in program else ''}_tables_names")
        for table in tables.stdout.split():
            for action in ("-F", "-X"):
                command(namespace, program, "-t", table, action)
    command(namespace, "conntrack", "-F")


def _put_back_device(namespace: str, device: dict[str, Any]) -> None:
    name = device["ifname"]
    ip(namespace, "link", "set", name, "mtu", str(device["mtu"]))
    for address in device["addr_info"]:
        if address["family"] != "inet":
            continue  # link-local: the kernel makes it again
        broadcast = ["broadcast", address["broadcast"]] if "broadcast" in address else []
        local = f"{address['local']}/{address['prefixlen']}"
        scope = ["scope", address["scope"]]
        ip(namespace, "address", "replace", local, *broadcast, *scope, "dev", name)
    if "UP" in device["flags"]:
        ip(namespace, "link", "set", name, "up")


def _put_back_route(namespace: str, route: dict[str, Any]) -> None:
    words = [route["type"]] if "type" in route else []
    words.append(route["dst"])
    for key, word in (
        ("gateway", "via"), ("dev", "dev"), ("table", "table"), ("protocol", "proto"), ("scope", "scope"),
        ("prefsrc", "src"), ("metric", "metric"),
    ):  # fmt: skip
        if key in route:
            words += [word, str(route[key])]
    if "onlink" in route.get("flags", []):
        words.append("onlink")
    ip(namespace, "-4", "route", "replace", *words)


def _rule(rule: dict[str, Any]) -> list[str]:
    """Return the words that name *rule*, as `ip -json rule` describes it, to `ip rule`."""
    words = ["not"] if "not" in rule else []
    words += ["preference", str(rule["priority"])]
    for key, length, word in (("src", "srclen", "from"), ("dst", "dstlen", "to")):
        if rule.get(key, "all") != "all":
            words += [word, f"{rule[key]}/{rule[length]}" if length in rule else rule[key]]
    if "iif" in rule:
        words += ["iif", rule["iif"]]
    if "oif" in rule:
        words += ["oif", rule["oif"]]
    if "fwmark" in rule:
        words += ["fwmark", "/".join(str(rule[key]) for key in ("fwmark", "fwmask") if key in rule)]
    if "table" in rule:
        words += ["table", str(rule["table"])]
    if rule.get("action") in ("prohibit", "unreachable", "blackhole"):
        words.append(rule["action"])
    return words
