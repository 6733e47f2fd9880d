"""One rule that opens a relay host's packet filter, read, put there and taken away by the filter's own tool.

A name is TOOL/RULE: `iptables/[-t TABLE] CHAIN MATCHES…`, `nft/FAMILY TABLE CHAIN RULE`, `ufw/RULE` and
`firewalld/ZONE RULE`, in the words in which the tool itself lists it. Its value is "accept" where it is there.
"""

from __future__ import annotations

import shlex

from lrvmotion.errors import RefusedError
from lrvmotion.model.setting import ABSENT, Value, string
from lrvmotion.ports.shell import Completed, Shell

ACCEPT = string("accept")


def read(shell: Shell, name: str) -> Value:
    """Return ACCEPT where the rule is there, else ABSENT; RefusedError where its tool does not say."""
    tool, _, rule = name.partition("/")
    if tool == "nft":
        return ABSENT if _handle(shell, rule) is None else ACCEPT
    if tool == "ufw":
        done = shell.run(["ufw", "show", "added"])
        _check(shell, done, "ufw does not list its rules")
        return ACCEPT if f"ufw {rule}" in done.stdout.splitlines() else ABSENT
    if tool == "firewalld":
        zone, _, what = rule.partition(" ")
        done = shell.run(_firewalld(zone, "query", what))
        if done.status not in {0, 1}:
            _check(shell, done, "firewalld does not say whether it has a rule")
        return ACCEPT if done.ok else ABSENT
    table, chain, words = _iptables(rule)
    done = shell.run([tool, "-w", *table, "-C", chain, *words])
    if done.status not in {0, 1}:  # 1: there is no such rule, or no such chain; 4: others hold the lock
        _check(shell, done, f"{tool} does not say whether it has a rule")
    return ACCEPT if done.ok else ABSENT


def write(shell: Shell, name: str, value: Value) -> None:
    """Put the rule there, before all others of its chain, or take it away; harmless where that is so already."""
    if read(shell, name) == value:
        return
    tool, _, rule = name.partition("/")
    absent = value == ABSENT
    if tool == "nft":
        family, table, chain, text = rule.split(" ", 3)
        if absent:
            argv = ["nft", "delete", "rule", family, table, chain, "handle", _handle(shell, rule) or "0"]
        else:
            argv = ["nft", "insert", "rule", family, table, chain, text]
        done = shell.run(argv)
    elif tool == "ufw":
        words = shlex.split(rule)
        route = ["route"] if words[0] == "route" else []
        verb = ["--force", *route, "delete"] if absent else route
        done = shell.run(["ufw", *verb, *words[len(route) :]])
    elif tool == "firewalld":
        zone, _, what = rule.partition(" ")
        done = shell.run(_firewalld(zone, "remove" if absent else "add", what))
    else:
        place, chain, words = _iptables(rule)
        done = shell.run([tool, "-w", *place, *(["-D", chain] if absent else ["-I", chain, "1"]), *words])
    _check(shell, done, f"the rule '{rule}' cannot be {'removed' if absent else 'put'} by {tool}")


def _iptables(rule: str) -> tuple[list[str], str, list[str]]:
    """Return the table's option, none for filter, the chain and the rest of an iptables *rule*."""
    words = shlex.split(rule)
    table = words[:2] if words[0] == "-t" else []
    chain, *rest = words[len(table) :]
    return table, chain, rest


def _handle(shell: Shell, rule: str) -> str | None:
    """Return the handle of the nft rule, None where it, or its chain, is not there; RefusedError where nft fails."""
    family, table, chain, text = rule.split(" ", 3)
    done = shell.run(["nft", "-a", "list", "chain", family, table, chain])
    if "No such file or directory" not in done.stderr:
        _check(shell, done, f"nft does not list {family} {table} {chain}")
    found = (line.strip().rpartition(" # handle ") for line in done.stdout.splitlines())
    return next((handle for there, _, handle in found if there == text), None)


def _firewalld(zone: str, verb: str, what: str) -> list[str]:
    """Return the command for the rules in force; what is stored for the next start of firewalld stays as it is."""
    words = f"--{verb}-rich-rule={what}" if what.startswith("rule ") else f"--{verb}-{what}"
    return ["firewall-cmd", f"--zone={zone}", words]


def _check(shell: Shell, done: Completed, what: str) -> None:
    if not done.ok:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or [f"exit status {done.status}"]
        message = f"{shell.name}: {what}: {said[0]}"
        raise RefusedError(message)
