"""At which of the points that a recorded run passed it is killed: every kind of step, then evenly over the rest."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

_PLACES = re.compile(r"(source|target)/[\w.-]+|relay/[\w.-]+|(?<=sysctl/)\S+|/proc/sys/\S+|\d+(\.\d+)*")


# Calls that change nothing: a death before or after one is no other than one while it is under way.
_READS = re.compile(
    r"soap (Retrieve|Query|Create(Filter|ContainerView|PropertyCollector)|Destroy|FindByUuid|Fetch|Continue|Check|Wait"
    r"|Cancel(Wait|Retrieve))\w* \| |(read|run (nft -j|stat|cat)) .* \| "
)


_RECORD = re.compile(r"^(journal (?:intended|applied|reverted)) .*(?= \|)")
# Outside of a write a command on a box or a call of a vCenter only looks (but Login and Logout): one kind of each.
_LOOK = re.compile(r"^(read|run|soap) (?!Log).*?(?=( > sent| \|))")
_MOVING = re.compile(r"start a move|moving |update |verify |journal (move|task|moved)\b")


@dataclass(frozen=True, slots=True)
class Point:
    """The *nth* time that a run passes *label*."""

    label: str
    nth: int = 1

    @property
    def moving(self) -> bool:
        """Whether VMs move, or are about to."""
        return _MOVING.match(self.label) is not None

    def __str__(self) -> str:
        return self.label if self.nth == 1 else f"{self.label}, time {self.nth}"


def read_tape(path: Path) -> list[str]:
    """Return the labels that a recorded run passed, in order."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def kind(label: str) -> str:
    """Return the label without hosts, kernel settings and numbers, a record of a change without the setting.

    What only looks is a kind, whatever it looks at; each moment of a move is a kind of its own.
    """
    if label.startswith("moving "):
        return label
    if " > " not in label.removesuffix(" > sent"):
        label = _LOOK.sub(r"\1", label)
    return _PLACES.sub("_", _RECORD.sub(r"\1", label))


def worth(label: str) -> bool:
    """Return whether a death there may differ from one at the points around it."""
    return _READS.search(label) is None


def spread(tape: list[str], most: int) -> list[Point]:
    """Return at most *most* points of *tape*, in the order of the run.

    One of every kind, taken from all over the run; then evenly from what is left.
    """
    passed = Counter(tape)
    order = [label for label in dict.fromkeys(tape) if worth(label)]
    by_kind: dict[str, list[str]] = {}
    for label in order:
        by_kind.setdefault(kind(label), []).append(label)
    first = [labels[number % len(labels)] for number, labels in enumerate(by_kind.values())]
    chosen = set(_evenly(first, most))
    rest = [label for label in order if label not in chosen]
    chosen |= set(_evenly(rest, most - len(chosen)))
    return [Point(label, 1 + passed[label] // 3) for label in order if label in chosen]


def _evenly(items: list[str], most: int) -> list[str]:
    """Return *most* of *items*, evenly spread; all where there are fewer."""
    if len(items) <= most:
        return items
    return [items[number * len(items) // most] for number in range(most)]
