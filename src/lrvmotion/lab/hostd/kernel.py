"""Makes a host's configuration real in the network namespace that this process runs in, and reads back what is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from lrvmotion.lab.hostd.devices import Configuration, links, routes, rules
from lrvmotion.lab.rpc import RpcError

UPLINK = "uplink0"
_IPV4 = Path("/proc/sys/net/ipv4")


class Kernel:
    """Brings the namespace from the configuration it last made to the next one; what did not change is not touched."""

    def __init__(self) -> None:
        self._links: dict[str, tuple[str, int, str]] = {}
        self._rules: list[str] = []
        self._routes: list[str] = []
        # Several vmknics in one subnet: each answers for its own address only, asks in its own name, and says so when
        # it comes up (an address that had another MAC before is else unreachable until the neighbours forget).
        for name, value in (("arp_ignore", "1"), ("arp_announce", "2"), ("arp_notify", "1"), ("rp_filter", "0")):
            (_IPV4 / "conf" / "all" / name).write_text(value)
            (_IPV4 / "conf" / "default" / name).write_text(value)

    def make(self, config: Configuration) -> None:
        """Make *config* real. Raises RpcError with what `ip` said."""
        new_links, new_rules, new_routes = links(config), rules(config), routes(config)
        gone = [name for name, old in self._links.items() if new_links.get(name, ("",))[0] != old[0]]
        fresh = [name for name in new_links if name not in self._links or name in gone]
        batch = [f"rule del {line}" for line in self._rules if line not in new_rules]
        batch += [f"route del {line}" for line in self._routes if line not in new_routes or _device(line) in gone]
        for name in gone:
            batch.append(f"link del {name}")
        for name in fresh:
            mac, _, _ = new_links[name]
            batch.append(f"link add link {UPLINK} name {name} address {mac} type macvlan mode bridge")
        for name, (_, mtu, address) in new_links.items():
            _, old_mtu, old_address = self._links.get(name, ("", 0, "")) if name not in fresh else ("", 0, "")
            if mtu != old_mtu:
                batch.append(f"link set {name} mtu {mtu}")
            if address != old_address:
                if old_address:
                    batch.append(f"addr del {old_address} dev {name}")
                batch.append(f"addr add {address} dev {name} noprefixroute")
        batch += [f"link set {name} up" for name in fresh]
        batch += [f"route add {line}" for line in new_routes if line not in self._routes or _device(line) in fresh]
        batch += [f"rule add {line}" for line in new_rules if line not in self._rules]
        # A changed address takes the routes that prefer it away with it: `replace` for all is cheap and sure.
        batch += [f"route replace {line}" for line in new_routes]
        _run(batch)
        self._links, self._rules, self._routes = new_links, new_rules, new_routes

    def rebuild(self, config: Configuration) -> None:
        """Make *config* real from nothing: after a change that the kernel took only half of. Raises RpcError."""
        batch = [
            f"link del {entry['ifname']}"
            for entry in _json("-d", "link", "show")
            if entry.get("linkinfo", {}).get("info_kind") == "macvlan"
        ]
        batch += [f"rule del pref {entry['priority']}" for entry in _json("-4", "rule", "show") if _ours(entry)]
        _run(batch)
        tables = {str(entry.get("table", "main")) for entry in _json("-4", "route", "show", "table", "all")}
        _run([f"route flush table {table}" for table in sorted(tables - {"local"})])
        self._links, self._rules, self._routes = {}, [], []
        self.make(config)

    def state(self) -> dict[str, Any]:
        """Return vmknics, routes and rules as the kernel shows them, sorted, without what changes by itself."""
        devices = {entry["ifname"]: entry for entry in _json("-d", "addr", "show") if entry.get("linkinfo")}
        vmknics = [
            {
                "device": name,
                "mac": entry["address"],
                "mtu": entry["mtu"],
                "up": "UP" in entry["flags"],
                "addresses": sorted(
                    f"{item['local']}/{item['prefixlen']}" for item in entry["addr_info"] if item["family"] == "inet"
                ),
            }
            for name, entry in devices.items()
            if entry["linkinfo"].get("info_kind") == "macvlan"
        ]
        keys = ("dst", "type", "gateway", "dev", "table", "metric", "prefsrc", "scope")
        found = [
            {key: entry[key] for key in keys if key in entry}
            for entry in _json("-4", "-d", "route", "show", "table", "all")
            if entry.get("table") != "local"
        ]
        rule_list = [dict(sorted(entry.items())) for entry in _json("-4", "rule", "show")]
        return {
            "vmknics": sorted(vmknics, key=lambda item: str(item["device"])),
            "routes": sorted(found, key=lambda item: json.dumps(item, sort_keys=True)),
            "defaults": sorted(
                f"{item.get('table', 'main')} {item['gateway']}"
                for item in found
                if item["dst"] == "default" and "gateway" in item
            ),
            "rules": sorted(rule_list, key=lambda item: json.dumps(item, sort_keys=True)),
        }


def _ours(rule: dict[str, Any]) -> bool:
    return rule["priority"] not in (0, 32766, 32767)  # the kernel's own: local, main, default


def _device(line: str) -> str | None:
    words = line.split()
    return words[words.index("dev") + 1] if "dev" in words else None


def _run(batch: list[str]) -> None:
    done = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(batch) + "\n", capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RpcError(kind="failed", message=f"ip: {done.stderr.strip()}")


def _json(*arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(["ip", "-j", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RpcError(kind="failed", message=f"ip: {done.stderr.strip()}")
    return json.loads(done.stdout or "[]")  # type: ignore[no-any-return]
