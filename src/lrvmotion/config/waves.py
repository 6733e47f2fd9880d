"""Waves and dependencies: which VMs go before which others, and the mistakes that would leave a VM waiting for ever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol


class Named(Protocol):
    """A wave of the configuration: *vms* are names or patterns, *depends_on* other waves, None: the last one."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def vms(self) -> tuple[str, ...]:
        """Names or patterns of VMs."""

    @property
    def depends_on(self) -> tuple[str, ...] | None:
        """Names of waves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """When a VM's turn comes: its *wave*, from 1, and the VMs that must have moved before."""

    vm: str
    wave: int
    depends_on: tuple[str, ...]


def levels(waves: Sequence[Named]) -> dict[str, int]:
    """Return each wave's number, from 1: one more than the highest that it depends on.

    Raise ValueError for a name that is there twice or not at all, and for a wave that depends on itself.
    """
    names = [wave.name for wave in waves]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        message = f"two waves are called {twice[0]!r}"
        raise ValueError(message)
    depends_on = {
        wave.name: tuple(names[index - 1 : index]) if wave.depends_on is None and index else (wave.depends_on or ())
        for index, wave in enumerate(waves)
    }
    for name, before in depends_on.items():
        if unknown := [other for other in before if other not in depends_on]:
            message = f"the wave {name!r} depends on {unknown[0]!r}, and there is no such wave"
            raise ValueError(message)
    if (circle := _circle(depends_on)) is not None:
        message = f"a wave depends on itself: {' -> '.join(circle)}"
        raise ValueError(message)
    found: dict[str, int] = {}
    while len(found) < len(depends_on):
        for name, before in depends_on.items():
            if name not in found and all(other in found for other in before):
                found[name] = 1 + max((found[other] for other in before), default=0)
    return found


def number(forms: Iterable[str], waves: Sequence[Named], numbers: Mapping[str, int]) -> int:
    """Return the wave of a VM that can be named by *forms*: of the first that lists it, else after all of them."""
    said = tuple(forms)
    for wave in waves:
        if any(fnmatchcase(form, pattern) for pattern in wave.vms for form in said):
            return numbers[wave.name]
    return max(numbers.values(), default=0) + 1


def mistakes(turns: Iterable[Turn]) -> list[str]:
    """Return why some VM would wait for ever: it depends on itself, or on one of a later wave."""
    by_name = {turn.vm: turn for turn in turns}
    circle = _circle({turn.vm: tuple(vm for vm in turn.depends_on if vm in by_name) for turn in by_name.values()})
    found = [] if circle is None else [f"a VM depends on itself: {' -> '.join(circle)}"]
    for turn in by_name.values():
        found += [
            f"{turn.vm} (wave {turn.wave}) depends on {before}, which is in wave {by_name[before].wave}"
            for before in turn.depends_on
            if before in by_name and by_name[before].wave > turn.wave
        ]
    return found


def _circle(depends_on: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Return names each of which comes after the next, the last being the first; None where there is no circle."""
    safe: set[str] = set()
    for start in depends_on:
        way: list[str] = []
        stack = [(start, iter(depends_on[start]))] if start not in safe else []
        way += [start] if stack else []
        while stack:
            name, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                safe.add(name)
                stack.pop()
                way.pop()
            elif following in way:
                return [*way[way.index(following) :], following]
            elif following not in safe and following in depends_on:
                way.append(following)
                stack.append((following, iter(depends_on[following])))
    return None
