"""What a running relay tells: health, counters, its cap; and what on a box carries lrvmotion's mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lrvmotion.errors import RefusedError, UnreachableError
from lrvmotion.ports.shell import Completed, Shell
from lrvmotion.relay import answers
from lrvmotion.relay.facts import facts
from lrvmotion.relay.names import Names
from lrvmotion.relay.redirect.render import Counters, Redirect, parse_counters, parse_iptables_counters

_STREAM = {
    "rate_bps": float, "retransmit_ratio": float, "bytes_to_target": int, "source?": str, "target?": str,
    "verdict?": str, "shares?": {"*": float}, "rtt_us?": (float, None), "min_rtt_us?": (float, None),
}  # fmt: skip
_STATUS = {
    "live": int, "peak": int, "accepted": int, "rate_bps": float, "sentence": str, "bytes_to_target": int,
    "limit_bps": (int, None), "congestion_control": str, "uptime_s": float, "refused": {"*": int},
    "streams?": [_STREAM], "redirect?": ({"state": str, "reason?": (str, None), "reloads?": int}, None),
}  # fmt: skip
_WHOLE = {**_STATUS, "streams": [{**_STREAM, "target": str, "verdict": str, "shares": {"*": float}}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStatus:
    """A relay now. *bps* goes to the WAN; *rtt_ms* and *retransmits* (ratio) are the live streams', None without any.

    *limiter* is the relay's own sentence on what limits it. *bytes* were carried to the targets since it started;
    *redirect* is "installed", "withdrawn", "absent" or "not watched"; *reloads*: how often it was loaded again because
    somebody had flushed it. *sources* are where the streams come from ("10.88.0.9:52014"), *ends* the addresses at both
    ends of one that is *waiting*: so many have data that is not acknowledged.
    """

    streams: int
    peak_streams: int
    accepted: int
    bps: float
    rtt_ms: float | None
    retransmits: float | None
    limiter: str
    bytes: int
    limit_bps: int | None
    congestion_control: str
    redirect: str
    uptime_s: float
    refused: int
    sources: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    waiting: int = 0
    reloads: int = 0


def health(shell: Shell, run: str) -> RelayStatus:
    """Ask the relay of *run* how it is; UnreachableError where none answers, or nothing is redirected to it."""
    status = ask(shell, run)
    redirect = status.get("redirect") or {}
    if redirect.get("state") == "withdrawn":
        message = f"{shell.name}: the relay withdrew its redirect: {redirect.get('reason')}"
        hint = (
            "new connections are forwarded plainly; correct it, then run lrvmotion restore-defaults, "
            f"or on the relay host systemctl restart {Names(run).unit}"
        )
        raise UnreachableError(message, hint=hint)
    if redirect.get("state") == "absent":
        message = f"{shell.name}: the redirect is not loaded: {redirect.get('reason') or 'its rules are not there'}"
        hint = (
            "new connections are forwarded plainly; see what empties the packet filter on the relay host (nft flush "
            "ruleset, nftables.service, iptables-restore), and what journalctl says of the relay"
        )
        raise UnreachableError(message, hint=hint)
    return parse_status(status)


def ask(shell: Shell, run: str) -> dict[str, Any]:
    """Return the relay's status document; UnreachableError where no relay answers, or its answer is not whole."""
    names = Names(run)
    done = shell.run([names.relayd, "--status", names.control])
    if not done.stdout.lstrip().startswith("{"):
        message = f"{shell.name}: no relay of run {run} answers: {_said(done)}"
        raise UnreachableError(message, hint=f"journalctl -u {names.unit} on the relay host")
    found: dict[str, Any] = answers.read(done.stdout, _WHOLE, f"{shell.name}: the relay's status")
    return found


def parse_status(status: dict[str, Any]) -> RelayStatus:
    """Read what `relayd.py --status` prints; averages are weighted by what each stream carried.

    Raises answers.GarbledError for a document of another shape.
    """
    answers.check(status, _STATUS, "the relay's status")
    streams = status.get("streams", [])
    # Not limited by what they are given: their data was outstanding most of the time.
    waiting = [s for s in streams if s.get("verdict", "application") != "application"]
    return RelayStatus(
        streams=status["live"],
        peak_streams=status["peak"],
        accepted=status["accepted"],
        bps=float(status["rate_bps"]),
        rtt_ms=_mean([(s["rtt_us"] / 1000, s["rate_bps"]) for s in streams if s.get("rtt_us")]),
        retransmits=_mean([(s["retransmit_ratio"], s["bytes_to_target"]) for s in streams]),
        limiter=status["sentence"],
        bytes=status["bytes_to_target"],
        limit_bps=status["limit_bps"],
        congestion_control=status["congestion_control"],
        redirect=(status.get("redirect") or {}).get("state", "not watched"),
        uptime_s=status["uptime_s"],
        refused=sum(status["refused"].values()),
        sources=tuple(str(s["source"]) for s in streams if "source" in s),
        ends=tuple(str(s.get(end, "")).rpartition(":")[0] for s in waiting[:1] for end in ("source", "target")),
        waiting=len(waiting),
        reloads=(status.get("redirect") or {}).get("reloads", 0),
    )


def limit(shell: Shell, run: str, bps: int | None) -> None:
    """Change the relay's cap while it runs, bits per second; None takes it away. RefusedError where it refuses."""
    names = Names(run)
    done = shell.run([names.relayd, "--limit", names.control, "off" if bps is None else str(bps)])
    if not done.ok:
        message = f"{shell.name}: the relay did not take the cap: {_said(done)}"
        raise RefusedError(message)


def counters(shell: Shell, run: str) -> Counters:
    """Return what our rules have counted, both address families in sum; UnreachableError where there are none."""
    names = Names(run)
    script = (
        "if command -v nft >/dev/null; then for f in ip ip6; do t=$1; [ $f = ip6 ] && t=$2; "
        "nft -j list table $f $t 2>/dev/null && echo; done; exit 0; fi; "
        "echo iptables; iptables-save -c; echo; echo ip6tables; ip6tables-save -c 2>/dev/null; exit 0"
    )
    done = shell.run(["sh", "-c", script, "counters", names.table(), names.table("ip6")])
    found: list[Counters | None]
    if done.stdout.startswith("iptables\n"):
        four, _, six = done.stdout.partition("\nip6tables\n")
        found = [_of_iptables(names.table(), four), _of_iptables(names.table("ip6"), six, v6=True)]
    else:
        with answers.understood(f"{shell.name}: what nft lists of the redirect", done.stdout):
            found = [parse_counters(line) for line in done.stdout.splitlines() if line.strip()]
    there = [entry for entry in found if entry is not None]
    if not there:
        message = f"{shell.name}: the redirect of run {run} is not there: {_said(done)}"
        raise UnreachableError(message, hint="the relay has ended, or somebody flushed the packet filter")
    return Counters(
        hits=sum(entry.hits for entry in there),
        echo=sum(entry.echo for entry in there),
        fenced=sum(entry.fenced for entry in there),
    )


def list_leftovers(shell: Shell) -> list[str]:
    """Return everything on the box that carries lrvmotion's mark, whoever put it there."""
    return list(facts(shell).marks)


def _of_iptables(table: str, saved: str, *, v6: bool = False) -> Counters | None:
    address = "::1" if v6 else "127.0.0.1"
    named = Redirect(
        table=table, sources=(address,), targets=(address,), port=1, listen_port=1, family="ip6" if v6 else "ip"
    )
    try:
        return parse_iptables_counters(named, saved)
    except ValueError:
        return None


def _mean(weighted: list[tuple[float, float]]) -> float | None:
    weight = sum(share for _, share in weighted)
    if weight > 0:
        return sum(value * share for value, share in weighted) / weight
    return sum(value for value, _ in weighted) / len(weighted) if weighted else None


def _said(done: Completed) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1] if lines else f"exit status {done.status}"
