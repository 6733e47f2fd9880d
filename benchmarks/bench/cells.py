"""The cells of the WAN grid, what a run of them amounts to, and the bars: arithmetic and text, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal, get_args

from bench.table import Bar

Profile = Literal["uniform", "bursty", "field", "short-handshake", "route-flap"]
GRID_PROFILES = ("uniform", "bursty")
RTTS_MS = (20, 55, 100, 150)
LOSSES = (0.0, 0.001, 0.005, 0.01, 0.02)
LATE_SHARE_MAX = 0.05
PAYLOAD_SHARE = 1448 / 1538  # TCP payload of a full segment, of what it takes on the wire at MTU 1500
# name: streams, congestion control of the source, what is in the box
CONTENDERS: dict[str, tuple[int, str, str]] = {
    "relayd": (5, "cubic", "relayd"),
    "bbr": (5, "bbr", "forwarding"),
    "cubic": (5, "cubic", "forwarding"),
    "native48": (48, "cubic", "forwarding"),
    "stock": (1, "cubic", "forwarding"),
    "socat": (5, "cubic", "socat"),
}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cell:
    """A circuit to measure: *loss* is a ratio 0-1; of the field profile 0, since its loss comes from the load.

    "short-handshake": SYNs are answered at once, as by a firewall in the way, and data takes *rtt_ms*; "route-flap":
    the RTT is `FLAP_FROM_MS` until `FLAP_S` after the first byte, then *rtt_ms*. Both lose like "uniform".
    """

    profile: Profile
    rtt_ms: int
    loss: float = 0.0

    @property
    def name(self) -> str:
        """The cell as `--cells` takes it: uniform:55:0.5, field:55."""
        loss = "" if self.profile == "field" else f":{self.loss * 100:g}"
        return f"{self.profile}:{self.rtt_ms}{loss}"

    @property
    def wan(self) -> dict[str, Any]:
        """What the wire is set to."""
        of = {"delay_ms": self.rtt_ms / 2, "profile": self.profile, "loss": self.loss, "syn_delay_ms": None}
        if self.profile == "short-handshake":
            of |= {"profile": "uniform", "syn_delay_ms": SHORT_MS / 2}
        elif self.profile == "route-flap":
            of |= {"profile": "uniform", "delay_ms": FLAP_FROM_MS / 2}
        return of

    @property
    def later(self) -> tuple[float, dict[str, Any]] | None:
        """So many seconds after the load began the wire is set to this, where anything changes."""
        return (FLAP_S, {"delay_ms": self.rtt_ms / 2}) if self.profile == "route-flap" else None

    @property
    def settle_s(self) -> float:
        """The least settling time: BBR takes 10 s until it believes in a longer RTT, and some to grow."""
        return 0.0 if self.profile in (*GRID_PROFILES, "field") else CHANGED_SETTLE_S


SHORT_MS, FLAP_FROM_MS, FLAP_S, CHANGED_SETTLE_S = 0.2, 0.4, 3.0, 14.0
FIELD = Cell(profile="field", rtt_ms=55)
CHANGING = (
    Cell(profile="short-handshake", rtt_ms=55, loss=0.0005),
    Cell(profile="route-flap", rtt_ms=20, loss=0.0005),
)
SMOKE = (Cell(profile="uniform", rtt_ms=5, loss=0.005),)
QUICK = (FIELD, Cell(profile="uniform", rtt_ms=55, loss=0.005))


def grid() -> tuple[Cell, ...]:
    """Return every cell of the full run, the field profile first; without loss there is nothing to burst.

    At the end those whose RTT is another one than it was at the handshake.
    """
    cells = [FIELD]
    for loss in LOSSES:
        for profile in ("uniform", "bursty") if loss else ("uniform",):
            cells += [Cell(profile=profile, rtt_ms=rtt_ms, loss=loss) for rtt_ms in RTTS_MS]
    return (*cells, *CHANGING)


def parse_cell(text: str) -> Cell:
    """Read `profile:rtt_ms:loss_percent`. Raises ValueError."""
    profile, _, rest = text.partition(":")
    rtt, _, loss = rest.partition(":")
    if profile not in get_args(Profile) or (profile == "field") == bool(loss):
        message = (
            f"{text!r} is not like uniform:55:0.5, bursty:55:1, field:55, short-handshake:55:0.05, route-flap:20:0.05"
        )
        raise ValueError(message)
    cell = Cell(profile=profile, rtt_ms=int(rtt), loss=float(loss or 0) / 100)  # type: ignore[arg-type]
    if not 1 <= cell.rtt_ms <= 1000 or not 0 <= cell.loss < 0.5 or (profile == "bursty" and not cell.loss):
        message = f"{text!r}: RTT from 1 to 1000 ms, loss from 0 to 50 %, bursts only of a loss"
        raise ValueError(message)
    return cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One contender once: what the receiver counted, what the wire reported over the same window."""

    mbps: float
    loss: float
    late: float
    drops: int = 0

    def fit(self, streams: int) -> bool:
        """Whether the wire kept time; and lost nothing but what it was told to.

        With dozens of streams on a circuit without loss a TAP's queue overflows now and then: for them that is one
        more full buffer, and is only reported.
        """
        return self.late <= LATE_SHARE_MAX and (self.drops == 0 or streams > 5)


def run_of(received: Mapping[str, Any], report: Mapping[str, Any]) -> Run:
    """Return the run that the receiver's line and the wire's report describe; *late* is the worse direction's."""
    ways = report["directions"]
    return Run(
        mbps=received["bytes"] * 8 / received["seconds"] / 1e6,
        loss=ways["source_to_target"]["loss_ratio"],
        late=max(way["lateness"]["over_5_ms"] for way in ways.values()),
        drops=sum(way["tap_drops"] for way in ways.values()),
    )


@dataclass(slots=True, kw_only=True)
class Measured:
    """The runs of a cell by contender, and how many were thrown away."""

    cell: Cell
    line_mbps: float
    runs: dict[str, list[Run]] = field(default_factory=dict)
    thrown: dict[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the cell as JSON shows it: medians and ranges of the runs that were kept.

        `loss` is the one asked for, of the field profile what the wire measured while relayd ran (or whoever ran);
        `carry_mbps` what the line carries at the loss the wire measured in those same runs.
        """
        kept = {name: runs for name, runs in self.runs.items() if runs}
        judged = kept.get("relayd") or next(iter(kept.values()), [])
        wire_loss = median(run.loss for run in judged) if judged else self.cell.loss
        return {
            "rtt_ms": self.cell.rtt_ms,
            "loss": round(wire_loss, 5) if self.cell.profile == "field" else self.cell.loss,
            "profile": self.cell.profile,
            "mbps": {name: round(median(run.mbps for run in runs), 2) for name, runs in kept.items()},
            "carry_mbps": round(self.line_mbps * PAYLOAD_SHARE * (1 - wire_loss), 1),
            "late": round(max((run.late for runs in kept.values() for run in runs), default=0.0), 4),
            "wire_loss": round(wire_loss, 6),
            "range": {
                name: [round(min(run.mbps for run in runs), 2), round(max(run.mbps for run in runs), 2)]
                for name, runs in kept.items()
            },
            "loss_by_contender": {name: round(median(run.loss for run in runs), 6) for name, runs in kept.items()},
            "runs": {name: len(runs) for name, runs in kept.items()},
            "tap_drops": {
                name: sum(run.drops for run in runs) for name, runs in kept.items() if any(r.drops for r in runs)
            },
            "thrown_away": {name: count for name, count in self.thrown.items() if count},
        }


def merged(entry: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cell *entry* with the contenders of *more*, which were measured later; its own figures stay."""
    joined: dict[str, Any] = {}
    for name, value in entry.items():
        joined[name] = {**more[name], **value} if isinstance(value, dict) else value
    return {**joined, "late": max(entry["late"], more["late"])}


def key(entry: Mapping[str, Any]) -> Cell:
    """Return which cell an entry of the JSON document is."""
    loss = 0.0 if entry["profile"] == "field" else entry["loss"]
    return Cell(profile=entry["profile"], rtt_ms=entry["rtt_ms"], loss=loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """How a cap held: *after_s* seconds until a whole second was within the tolerance (None: never); from then on how
    far the mean and the worst second were off, as shares of the cap."""

    after_s: float | None
    mean_error: float
    worst_error: float


def hold(
    samples: Sequence[tuple[float, int]], set_at: float, cap_mbps: float, hold_s: float, tolerance: float = 0.05
) -> Hold:
    """Judge [seconds, bytes] *samples* against a cap set at *set_at*, over *hold_s* from when it has taken hold.

    Rates are over one second from each sample. ValueError where no whole second was sampled after *set_at*.
    """
    after = [sample for sample in samples if sample[0] >= set_at]
    errors = [(begin, rate / cap_mbps - 1) for begin, rate in _seconds(after)]
    if not errors:
        message = "no whole second was sampled after the cap was set"
        raise ValueError(message)
    begin = next((begin for begin, error in errors if abs(error) <= tolerance), None)
    since = set_at if begin is None else begin
    held = [sample for sample in after if since <= sample[0] <= since + hold_s]
    (first, low), (last, high) = held[0], held[-1]
    return Hold(
        after_s=None if begin is None else begin - set_at,
        mean_error=(high - low) * 8 / (last - first) / 1e6 / cap_mbps - 1,
        worst_error=max((error for at, error in errors if since <= at <= since + hold_s - 1), key=abs),
    )


def _seconds(samples: Sequence[tuple[float, int]]) -> list[tuple[float, float]]:
    """Return [begin, Mbit/s] of every second that begins with a sample."""
    found = []
    later = 0
    for begin, before in samples:
        while later < len(samples) and samples[later][0] < begin + 1.0:
            later += 1
        if later == len(samples):
            break
        end, after = samples[later]
        found.append((begin, (after - before) * 8 / (end - begin) / 1e6))
    return found


def bars(document: Mapping[str, Any]) -> list[Bar]:
    """Judge every bar of the WAN whose figures *document* holds."""
    found: list[Bar] = []
    cells = [entry for entry in document.get("cells", ()) if {"relayd", "bbr", "cubic"} <= entry["mbps"].keys()]
    plain = [entry["mbps"] for entry in cells if entry["profile"] in GRID_PROFILES]
    if plain:
        shares = [mbps["relayd"] / mbps["bbr"] for mbps in plain]
        found.append(Bar(text=f"{len(plain)} cells, median: rate / direct BBR's", bound=0.97, value=median(shares)))
        found.append(Bar(text=f"{len(plain)} cells, least: rate / direct BBR's", bound=0.93, value=min(shares)))
    for text, bound, lossy in (("with loss", 1.0, True), ("without loss", 0.92, False)):
        of_cubic = [
            entry["mbps"]["relayd"] / entry["mbps"]["cubic"]
            for entry in cells
            if entry["profile"] in GRID_PROFILES and (entry["loss"] > 0) is lossy
        ]
        if of_cubic:
            found.append(Bar(text=f"{text}, least: rate / direct cubic's", bound=bound, value=min(of_cubic)))
    for entry in cells:
        mbps = entry["mbps"]
        if entry["profile"] == "field" and {"native48", "stock"} <= mbps.keys():
            share = mbps["relayd"] / document["line_mbps"]
            found += [
                Bar(text="field profile: rate / the circuit's", bound=0.83, value=share),
                Bar(text="field profile: rate / 48 native streams'", bound=3, value=mbps["relayd"] / mbps["native48"]),
                Bar(text="field profile: rate / stock's", bound=15, value=mbps["relayd"] / mbps["stock"]),
            ]
    for entry in document.get("cells", ()):
        if entry["profile"] in ("short-handshake", "route-flap") and {"relayd", "bbr"} <= entry["mbps"].keys():
            share = entry["mbps"]["relayd"] / entry["mbps"]["bbr"]
            found.append(Bar(text=f"{key(entry).name}: rate / direct BBR's", bound=0.9, value=share))
    if "far" in document:
        value = document["far"]["ratio"]
        found.append(Bar(text="target's buffer at 256 KiB: near + far / near alone", bound=3, value=value))
    for step in document.get("throttle", {}).get("steps", ()):
        cap = f"cap of {step['cap_mbps']:g} Mbit/s"
        after = step["after_s"] if step["after_s"] is not None else float("inf")
        found.append(Bar(text=f"{cap}: seconds until it holds", bound=1, value=after, at_most=True))
        off = abs(step["mean_error"])
        found.append(Bar(text=f"{cap}: off in the mean of 10 s by", bound=0.05, value=off, at_most=True))
    if "connections" in document:
        whole = document["connections"]
        text = f"{whole['connections']} connections at once: whole, of all"
        found.append(Bar(text=text, bound=1, value=whole["whole"] / whole["connections"]))
        peak = whole["peak_rss_mib"]
        found.append(Bar(text="their relay's resident memory, MiB", bound=40, value=peak, at_most=True))
    return found


def cells_table(document: Mapping[str, Any]) -> str:
    """Return the table of cells in Markdown: Mbit/s, medians; relayd with its range and its ratios."""
    names = ["loss", "RTT, ms", "carries", "relayd (range)", *list(CONTENDERS)[1:], "/ bbr", "/ native48", "late"]
    lines = ["| " + " | ".join(names) + " |", "|---|" + "---:|" * (len(names) - 1)]
    for entry in sorted(document.get("cells", ()), key=lambda e: (e["profile"] != "field", key(e).loss, key(e))):
        mbps, spread = entry["mbps"], entry["range"]
        loss = f"{entry['loss'] * 100:.{1 if entry['loss'] >= 0.001 or not entry['loss'] else 2}f} %"
        what = "none" if key(entry).loss == 0 and entry["profile"] != "field" else f"{entry['profile']} {loss}"
        low_high = f" ({spread['relayd'][0]:.0f}-{spread['relayd'][1]:.0f})" if "relayd" in spread else ""
        figures = [
            f"{mbps[name]:{'.0f' if mbps[name] >= 20 else '.1f'}}" if name in mbps else "-" for name in CONTENDERS
        ]
        figures[0] += low_high
        ratios = [
            f"{mbps['relayd'] / mbps[name]:{form}}" if {"relayd", name} <= mbps.keys() and mbps[name] else "-"
            for name, form in (("bbr", ".2f"), ("native48", ".1f"))
        ]
        row = [
            what,
            str(entry["rtt_ms"]),
            f"{entry['carry_mbps']:.0f}",
            *figures,
            *ratios,
            f"{entry['late'] * 100:.1f} %",
        ]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def extras_table(document: Mapping[str, Any]) -> str:
    """Return what was measured beside the grid in Markdown, nothing where nothing was."""
    lines = ["| beside the grid | measured |", "|---|---|"]
    if "far" in document:
        far = document["far"]
        measured = f"near relay alone {far['near_mbps']:.0f} Mbit/s, near + far {far['far_mbps']:.0f}"
        lines.append(
            f"| target's buffer at 256 KiB a stream, 5 streams, 55 ms | {measured}: {far['ratio']:.1f} times |"
        )
    for step in document.get("throttle", {}).get("steps", ()):
        after = "never holds" if step["after_s"] is None else f"holds after {step['after_s']:.2f} s"
        lines.append(
            f"| cap set live to {step['cap_mbps']:g} Mbit/s | {after}; then {step['mean_error'] * 100:+.1f} % in the "
            f"mean of 10 s, {step['worst_error'] * 100:+.1f} % in the worst second |"
        )
    if "connections" in document:
        whole = document["connections"]
        lines.append(
            f"| {whole['connections']} connections at once, unprivileged | {whole['whole']} whole by SHA-256, resident "
            f"memory {whole['peak_rss_mib']:.1f} MiB at most |"
        )
    return "\n".join(lines) + "\n" if len(lines) > 2 else ""
