"""Which VMs: names given by the user against the names that the source holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lrvmotion.errors import UsageError
from lrvmotion.inventory import Inventory, MoRef, near


def by_name(inventory: Inventory, names: Sequence[str]) -> list[MoRef]:
    """Return the VMs called *names*, in that order; UsageError names all unknown, ambiguous and repeated ones."""
    known: dict[str, list[MoRef]] = {}
    for name, ref in inventory.vm_names:
        known.setdefault(name, []).append(ref)
    problems, hints = [], []
    for name, times in Counter(names).items():
        found = known.get(name, [])
        if times > 1:
            problems.append(f"{name!r} is named {times} times")
        if not found:
            problems.append(f"no VM is called {name!r}")
            hints.append(near(name, known))
        elif len(found) > 1:
            problems.append(f"{len(found)} VMs are called {name!r}")
            hints.append("rename all but one, so that the name means one thing")
    if problems:
        message = f"{inventory.site}: " + "; ".join(problems)
        raise UsageError(message, hint="; ".join(dict.fromkeys(hints)) or None)
    return [known[name][0] for name in names]
