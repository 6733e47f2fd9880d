"""Running relays on the screen: what each carries, and what limits every stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lrvmotion.views.text import console, units
from lrvmotion.views.text.words import count

SHOWN = 12


def relays(to: Console, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Print every relay of *found*: box to its own status document, or {"error": …}."""
    for name, seen in found.items():
        if "error" in seen:
            console.hang(to, Text(f"{name}: ", style="magenta"), Text(str(seen["error"]), style="red"))
            continue
        cap = f", cap {units.rate(seen['limit_bps'])}" if seen.get("limit_bps") else ""
        text = f"{count(seen['live'], 'stream')}, {units.rate(seen['rate_bps'])}{cap}; {seen['sentence']}"
        console.hang(to, Text(f"{name}: ", style="magenta"), Text(text))
        redirect = seen.get("redirect") or {}
        if redirect.get("state") in {"withdrawn", "absent"}:
            why = redirect.get("reason") or "its rules are not there"
            console.hang(to, Text("  "), Text(f"redirect {redirect['state']}: {why}", style="red"))
        elif times := redirect.get("reloads"):
            text = f"redirect loaded again {count(times, 'time')}: somebody flushed or changed the packet filter"
            console.hang(to, Text("  "), Text(text, style="yellow"))
        if seen["streams"]:
            to.print(_streams(seen["streams"]))


def _streams(streams: list[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for name in ("to", "Mbit/s", "RTT", "min RTT", "retransmitted", "limited by"):
        table.add_column(name, justify="left" if name in {"to", "limited by"} else "right", no_wrap=True)
    fastest = sorted(streams, key=lambda stream: -stream["rate_bps"])
    for stream in fastest[:SHOWN]:
        share = stream["shares"].get(stream["verdict"])
        table.add_row(
            stream["target"],
            f"{stream['rate_bps'] / 1e6:.0f}",
            _ms(stream.get("rtt_us")),
            _ms(stream.get("min_rtt_us")),
            f"{stream['retransmit_ratio']:.1%}",
            stream["verdict"] if share is None else f"{stream['verdict']} {share:.0%}",
        )
    if len(fastest) > SHOWN:
        table.add_row(f"and {len(fastest) - SHOWN} more", "", "", "", "", "")
    return table


def _ms(microseconds: int | None) -> str:
    return "-" if microseconds is None else f"{microseconds / 1000:.1f} ms"
