"""Make a saved plan anew: everything that it rests on is read again, and a stale one is refused by name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from lrvmotion import basis, prepare
from lrvmotion.config import Config
from lrvmotion.connect import Connections
from lrvmotion.errors import StaleError
from lrvmotion.events import Observer
from lrvmotion.plan import Plan
from lrvmotion.planfile import Saved

MOST_NAMED = 8  # differences of a stale plan: the rest is a number


def again(
    config: Config,
    world: Connections,
    observer: Observer,
    saved: Saved,
    options: prepare.Options,
    *,
    runs: Collection[str] = (),
    mark: str | None = None,
) -> Plan:
    """Return the *saved* plan under a new run's id, with what is found now; nothing is written anywhere.

    Everything that it rests on is read again, and it is planned again with the same places and the same mark. Raise
    StaleError naming what is not as it was.
    """
    source, target = prepare.inventories(world)
    there = {ref for _, ref in source.vm_names}
    refs = [ref for ref in saved.refs if ref in there]
    source = prepare.with_vms(world, source, refs)
    facts = prepare.rests_on(saved.subjects(), saved.plan.mode, config, source, target, mark)
    _refuse_stale(basis.differences(saved.fingerprint, facts))
    own = saved.plan.mark  # what was planned to be made is named after it
    wanted = saved.wishes()
    made = prepare.planned(
        config, world, observer, source, refs, wanted, options, runs=runs, run=prepare.new_run(), mark=own
    )
    plan = saved.complete(target)
    if made.applyable:
        _refuse_stale(basis.settings_differ(plan, made, lambda name, key: world.target(name).read(key)))
    return replace(plan, run=made.run, findings=made.findings, forecast=made.forecast)


def _refuse_stale(differences: Sequence[str]) -> None:
    if not differences:
        return
    listed = differences[:MOST_NAMED]
    if more := len(differences) - len(listed):
        listed = [*listed, f"and {more} more"]
    lines = f" {listed[0]}" if len(listed) == 1 else "\n" + "\n".join(f"  {line}" for line in listed)
    message = f"the plan is stale, nothing was changed:{lines}"
    raise StaleError(message, hint="plan again")
