"""desired(): everything that a relay host needs, as keys and values in the order in which they are set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from lrvmotion.errors import RefusedError
from lrvmotion.model.relay.relay_host import BoxFacts
from lrvmotion.model.relay.relay_spec import FAR_BUFFER_BYTES, STREAM_BUFFER_BYTES, RelaySpec
from lrvmotion.model.setting import GOVERNOR, SettingKey, Value, document, string
from lrvmotion.model.target_id import TargetId
from lrvmotion.relay.names import Names
from lrvmotion.relay.packet_filter.opening import ACCEPT
from lrvmotion.relay.packet_filter.rules import Opening
from lrvmotion.relay.redirect import parse
from lrvmotion.relay.redirect.render import Redirect, nft_fence, nft_install, nft_owned
from lrvmotion.relay.unit import Unit, nft_commands, unit_text

Wanted = tuple[SettingKey, Value, str]

WINDOW_BYTES = 64 * 1024 * 1024  # ten times the path's product of rate and RTT (measured: 92 % of what 128 MiB gives)


def desired(spec: RelaySpec, seen: BoxFacts, run: str | None = None, opened: Iterable[Opening] = ()) -> list[Wanted]:
    """Return (key, value, reason) of everything that *spec* needs on the box *seen*, in the order of writing.

    *opened* are the rules that its packet filter needs. net.core.* is left alone: the relay forces its receive buffers,
    and tcp_wmem alone bounds what autotuning sends. default_qdisc too: it takes hold only of interfaces made later, and
    BBR paces by itself. RefusedError where the box cannot carry a relay at all (see `checks/relay_hosts.py`).
    """
    names = Names(run or spec.run)
    interface = seen.interface_of(spec.address)
    if interface is None or not seen.python or not (seen.nft or seen.iptables):
        message = f"{TargetId.relay(spec.name)} cannot carry a relay"
        raise RefusedError(message, hint="lrvmotion check says what is missing")
    redirects = [] if spec.far else _redirects(spec, names, interface)
    v6 = any(redirect.family == "ip6" for redirect in redirects)
    sysctls = list(_sysctls(seen, interface, v6=v6, routes=not spec.far))
    wanted = [(SettingKey.of("sysctl", key), string(value), reason) for key, value, reason in sysctls]
    text = "".join(f"{key} = {value}\n" for key, value, _ in sysctls)
    head = f"# lrvmotion, run {names.run}: removed by lrvmotion restore-defaults\n"
    wanted.append(_file(names.sysctl_file, head + text, "0644", "the settings outlast a reboot"))
    relayd = relayd_text(seen.python)
    config = json.dumps(_config(spec, seen, names, redirects, interface), indent=1) + "\n"
    path = names.config(hashlib.sha256((relayd + config).encode()).hexdigest())
    wanted.append(_file(names.relayd, relayd, "0755", "the relay"))
    wanted.append(_file(path, config, "0644", "what the relay may do"))
    # A table that the relay's own child owns is gone with it, and nobody else's `flush ruleset` takes it away.
    owned = bool(seen.nft) and seen.owner_tables
    wanted += [_script(redirect, names, nft=bool(seen.nft), owned=owned) for redirect in redirects]
    fence = _fence(spec, seen, names, owned=owned and not seen.systemd) if spec.far else None
    if fence is not None:
        wanted.append(_file(names.script(fence.table), fence.text, "0644", "only near relays reach the far one's port"))
    runs_with: dict[str, Any] = {"active": True, "config": path}
    if seen.systemd:
        holds = tuple(names.script(redirect.table) for redirect in redirects) if owned else ()
        steps = fence.steps if fence is not None else _commands([] if holds else redirects, names, seen)
        unit = Unit(
            run=names.run, python=seen.python, relayd=names.relayd, config=path, runtime=names.runtime.split("/")[-1],
            load=steps["load"], withdraw=steps["withdraw"], remove=steps["remove"], holds=holds,
            legacy_iptables=not seen.nft and seen.legacy_iptables,
        )  # fmt: skip
        wanted.append(
            _file(names.unit_file, unit_text(unit), "0644", "the relay is restarted, and back after a reboot")
        )
        value = document(enabled=True, **runs_with)
        wanted.append((SettingKey.of("unit", names.unit), value, "the relay listens before any route"))
    else:
        held = [*(redirect.table for redirect in redirects), *([fence.table] if fence is not None else [])]
        scripts = " ".join(names.script(table) for table in held) if owned else None
        value = document(**runs_with, holds=scripts, python=seen.python)
        wanted.append((SettingKey.of("process", names.run), value, "no systemd: a supervised process"))
    reason = "open_firewall: the host's packet filter lets the hosts' vMotion through"
    wanted += [(opening.key, ACCEPT, reason) for opening in opened]
    for redirect in redirects:
        reason = f"new connections to TCP {spec.service_port} of the targets go to the relay; others are forwarded"
        wanted.append((SettingKey.of("redirect", redirect.table), parse.value(redirect), reason))
    if seen.governors and "performance" in seen.available_governors:
        wanted.append((GOVERNOR, string("performance"), "a CPU that waits for its clock costs throughput"))
    return wanted


def relayd_text(python: str) -> str:
    """Return relayd.py as it is put on a box whose Python is at *python*: it runs by itself."""
    text = resources.files("lrvmotion.relay").joinpath("relayd.py").read_text(encoding="utf-8")
    return f"#!{python}\n" + text.partition("\n")[2]


@dataclass(frozen=True, slots=True)
class _Fence:
    """What keeps everyone but the near relays from a far relay's port: *text* loads *table*, *steps* are the unit's."""

    table: str
    text: str
    steps: dict[str, tuple[str, ...]]


def _fence(spec: RelaySpec, seen: BoxFacts, names: Names, *, owned: bool) -> _Fence | None:
    """Return the fence of a far relay; None where nothing would take it away again, the relay itself refuses there."""
    family: Literal["ip", "ip6"] = "ip6" if ":" in spec.address else "ip"
    peers = parse.canonical(entry for entry in spec.accept_proxy_from if (":" in entry) == (family == "ip6"))
    if not peers:
        message = f"{TargetId.relay(spec.name)}: {spec.address} and its near relays are not of one address family"
        raise RefusedError(message, hint="near and far relay need addresses of one family")
    table = names.table(family)
    script = names.script(table)
    if owned:
        return _Fence(table, parse.fence_owned(table, spec.listen_port, peers, family), {})
    if not seen.systemd:
        return None
    if seen.nft:
        steps = nft_commands(seen.nft, script, family, table) | {"withdraw": ()}
        return _Fence(table, nft_fence(table, spec.listen_port, peers, family=family), steps)
    text = parse.fence_script(table, spec.listen_port, peers, family)
    steps = {step: (f"/bin/sh {script} {step}",) for step in ("load", "remove")} | {"withdraw": ()}
    return _Fence(table, text, steps)


def _redirects(spec: RelaySpec, names: Names, interface: str) -> list[Redirect]:
    found = []
    families: tuple[Literal["ip", "ip6"], ...] = ("ip", "ip6")
    for family in families:
        sources, targets = (
            tuple(entry for entry in entries if (":" in entry) == (family == "ip6"))
            for entries in (spec.sources, spec.targets)
        )
        if sources and targets:
            found.append(
                Redirect(
                    table=names.table(family), family=family, interface=interface,
                    sources=parse.canonical(sources), targets=parse.canonical(targets),
                    port=spec.service_port, listen_port=spec.listen_port,
                )
            )  # fmt: skip
    if not found:
        message = f"{TargetId.relay(spec.name)}: no source and target of one address family"
        raise RefusedError(message, hint="hosts of both sites need vMotion addresses of one family")
    return found


def _sysctls(seen: BoxFacts, interface: str, *, v6: bool, routes: bool) -> Iterator[tuple[str, str, str]]:
    redirects = "a one-armed relay must not tell sources to go past it (measured: bypassed for 300 s)"
    lan = interface.replace(".", "/")
    wanted = [
        ("net.ipv4.conf.all.send_redirects", "0", redirects),
        (f"net.ipv4.conf.{lan}.send_redirects", "0", redirects),
    ]
    # The kernel clears these two when forwarding is switched on, and sets them when it is switched off: ours too, set
    # before and restored after it.
    reason = "a router takes no redirects: the kernel clears this with ip_forward"
    wanted += [(f"net.ipv4.conf.{name}.accept_redirects", "0", reason) for name in ("all", "default")]
    wanted.append(("net.ipv4.ip_forward", "1", "what is not relayed is forwarded"))
    if v6:
        # A router forgets the default route that it learnt from advertisements, but where accept_ra is 2.
        reason = "the relay host keeps its own default route when it forwards IPv6"
        learns = [key for key, value, _ in seen.sysctls if key.endswith(".accept_ra") and value == "1"]
        wanted += [(key, "2", reason) for key in learns if key.split(".")[3] not in {"all", "default", "lo"}]
        wanted.append(("net.ipv6.conf.all.forwarding", "1", "what is not relayed is forwarded"))
    for key in ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"):
        reason = "a stream's window must hold what is under way on the long path"
        wanted.append((key, _raised(seen.sysctl(key), WINDOW_BYTES), reason))
    wanted += [
        ("net.ipv4.tcp_mtu_probing", "1", "a path that swallows large packets does not hang a stream"),
        ("net.ipv4.tcp_slow_start_after_idle", "0", "full speed after a pause (measured: 601 to 152 ms)"),
        ("net.ipv4.tcp_no_metrics_save", "1", "one bad stream does not slow the next down"),
    ]
    if routes and not seen.nft:  # nft's table drops what is invalid of relayed connections; iptables cannot tell them
        reason = "a packet out of the window is translated as its connection, and not forwarded past the relay"
        wanted.append(("net.netfilter.nf_conntrack_tcp_be_liberal", "1", reason))
    writable = {key for key, _, writable in seen.sysctls if writable}
    for key, value, reason in wanted:
        if key in writable and (routes or key.startswith("net.ipv4.tcp_")):
            yield key, value, reason


def _raised(now: str | None, least: int) -> str:
    """Return "min default max" with a maximum of at least *least*: an existing larger one is kept."""
    words = (now or "").split()
    if len(words) != 3:
        return f"4096 131072 {least}"
    return f"{words[0]} {words[1]} {max(int(words[2]), least)}"


def _config(
    spec: RelaySpec, seen: BoxFacts, names: Names, redirects: Iterable[Redirect], interface: str
) -> dict[str, Any]:
    redirects = list(redirects)
    families = {redirect.family for redirect in redirects} or {"ip6" if ":" in spec.address else "ip"}
    # A redirected connection arrives at the first address of the interface, which need not be *address*.
    listen = [
        [entry.address, spec.listen_port]
        for entry in seen.addresses
        if entry.interface == interface and ("ip6" if ":" in entry.address else "ip") in families
    ]
    more: dict[str, Any] = {}
    if spec.forward is not None:
        more["forward"] = {"address": spec.forward[0], "port": spec.forward[1]}
    if spec.far:
        more["accept_proxy_from"] = list(spec.accept_proxy_from)
    return {
        "schema": 1,
        "listen": listen,
        "port": spec.service_port,
        "sources": list(parse.canonical(spec.sources)),
        "targets": list(parse.canonical(spec.targets)),
        "control": names.control,
        "wan_congestion_control": spec.congestion_control,
        "limit_bps": spec.limit_bps,
        "stream_buffer_bytes": FAR_BUFFER_BYTES if spec.far else STREAM_BUFFER_BYTES,
        "redirects": [
            {**(redirect.guard if seen.nft else redirect.iptables_guard), "script": names.script(redirect.table)}
            for redirect in redirects
        ],
        **more,
    }


def _script(redirect: Redirect, names: Names, *, nft: bool, owned: bool) -> Wanted:
    if owned:
        text = nft_owned(redirect)
    elif nft:
        text = nft_install(redirect)
    else:
        text = parse.iptables_script(redirect)
    return _file(names.script(redirect.table), parse.header(redirect) + text, "0644", "loads the redirect")


def _commands(redirects: Iterable[Redirect], names: Names, seen: BoxFacts) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {"load": (), "withdraw": (), "remove": ()}
    for redirect in redirects:
        script = names.script(redirect.table)
        if seen.nft:
            more = nft_commands(seen.nft, script, redirect.family, redirect.table)
        else:
            more = {step: (f"/bin/sh {script} {step}",) for step in found}
        found = {step: (*commands, *more[step]) for step, commands in found.items()}
    return found


def _file(path: str, content: str, mode: str, reason: str) -> Wanted:
    return SettingKey.of("file", path), document(content=content, mode=mode), reason
