"""Which VMs: names given by the user, an expression or a CSV file, against what the source holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lrvmotion.config.vm_csv import VmOverride
from lrvmotion.errors import UsageError
from lrvmotion.model.inventory import Inventory, MoRef, did_you_mean, natural
from lrvmotion.plan.vm_filter import Test, Traits


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which VMs the user chose, in one of three ways; none of them means no VM.

    *expression* is the text behind *test*; *file* is where *overrides* were read.
    """

    names: tuple[str, ...] = ()
    expression: str = ""
    test: Test | None = None
    overrides: tuple[VmOverride, ...] = ()
    file: str = ""

    def __bool__(self) -> bool:
        return bool(self.names or self.test or self.overrides)


def by_traits(choice: Choice, found: Iterable[tuple[MoRef, Traits]]) -> list[MoRef]:
    """Return the VMs that *choice*'s test holds of, vm2 before vm10; UsageError for none, and one name of several."""
    holding = ((traits.name, ref) for ref, traits in found if choice.test is not None and choice.test(traits))
    chosen = sorted(holding, key=lambda one: (natural(one[0]), one[1]))
    if not chosen:
        message = f"source: no VM matches {choice.expression!r}"
        raise UsageError(message, hint="patterns are case-sensitive, and a folder is its path: folder=Prod/Web*")
    twice = [name for name, times in Counter(name for name, _ in chosen).items() if times > 1]
    if twice:
        message = f"source: several VMs that match are called {', '.join(map(repr, twice))}"
        raise UsageError(message, hint="rename all but one, so that the name means one thing; or select fewer")
    return [ref for _, ref in chosen]


def arrived(source: Inventory, target: Inventory, moved: Mapping[str, str]) -> dict[str, str]:
    """Return the VMs that the target has and the source has not, by name: which run moved each, "" where none did.

    *moved* is the run that moved a VM last, by the journal.
    """
    here = {name for name, _ in source.vm_names}
    return {name: moved.get(name, "") for name, _ in target.vm_names if name not in here}


def by_name(inventory: Inventory, names: Sequence[str], arrived: Mapping[str, str] | None = None) -> list[MoRef]:
    """Return the VMs called *names*, in that order; UsageError names all unknown, ambiguous and repeated ones.

    Of those that have *arrived* at the other site it says so.
    """
    elsewhere = arrived or {}
    known: dict[str, list[MoRef]] = {}
    for name, ref in inventory.vm_names:
        known.setdefault(name, []).append(ref)
    problems, hints = [], []
    for name, times in Counter(names).items():
        found = known.get(name, [])
        if times > 1:
            problems.append(f"{name!r} is named {times} times")
        if not found and name in elsewhere:
            by = f" (run {elsewhere[name]})" if elsewhere[name] else ""
            problems.append(f"{name!r} is at the target already{by}")
            hints.append("leave out what is at the target already")
        elif not found:
            problems.append(f"no VM is called {name!r}")
            hints.append(did_you_mean(name, known))
        elif len(found) > 1:
            problems.append(f"{len(found)} VMs are called {name!r}")
            hints.append("rename all but one, so that the name means one thing")
    if problems:
        message = f"{inventory.site}: " + "; ".join(problems)
        raise UsageError(message, hint="; ".join(dict.fromkeys(hints)) or None)
    return [known[name][0] for name in names]
