"""Make a saved plan again: everything that it rests on is read again, and a stale one is refused by name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from lrvmotion.checks import vms as vm_checks
from lrvmotion.config.schema import Config
from lrvmotion.errors import StaleError
from lrvmotion.events import Observer
from lrvmotion.model.setting import SettingKey
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan import staleness
from lrvmotion.plan.plan import Plan, Theirs
from lrvmotion.plan.plan_file import Saved
from lrvmotion.workflows import plan_run, vm_choice
from lrvmotion.workflows.connections import Connections

MOST_NAMED = 8  # differences of a stale plan: the rest is a number


def again(
    config: Config,
    connections: Connections,
    observer: Observer,
    saved: Saved,
    options: plan_run.RunOptions,
    *,
    runs: Collection[str] = (),
    owner_id: str | None = None,
    held: Collection[tuple[TargetId, SettingKey]] = (),
    theirs: Collection[Theirs] = (),
) -> Plan:
    """Return the *saved* plan under a new run's id, with what is found now; nothing is written anywhere.

    Everything that it rests on is read again, and it is planned again with the same places and the same mark. Raise
    StaleError naming what is not as it was.
    """
    source, target = plan_run.inventories(connections)
    there = {ref for _, ref in source.vm_names}
    refs = [ref for ref in saved.refs if ref in there]
    source = vm_choice.with_vms(config, connections, source, refs, saved.called)
    facts = plan_run.rests_on(saved.subjects(), saved.plan.mode, config, source, target, owner_id)
    _refuse_stale(staleness.differences(saved.fingerprint, facts))
    own = saved.plan.owner_id  # what was planned to be made is named after it
    wanted = saved.overrides()
    made = plan_run.planned(
        config, connections, observer, source, refs, wanted, options,
        runs=runs, run=plan_run.new_run(), owner_id=own, held=held, theirs=theirs,
    )  # fmt: skip
    plan = saved.complete(target)
    if made.applyable:
        _refuse_stale(staleness.settings_differ(plan, made, lambda name, key: connections.target(name).read(key)))
    return replace(plan, run=made.run, findings=made.findings, forecast=made.forecast, theirs=made.theirs)


def rest(
    config: Config,
    connections: Connections,
    observer: Observer,
    saved: Saved,
    names: Collection[str],
    options: plan_run.RunOptions,
    *,
    run: str,
    runs: Collection[str] = (),
    owner_id: str | None = None,
    held: Collection[tuple[TargetId, SettingKey]] = (),
    theirs: Collection[Theirs] = (),
) -> Plan:
    """Return the plan of what is left of *run*: the VMs *names* of its plan *saved*, to the same places.

    A VM that is no longer at the source is left out, and a finding says so.
    """
    source, _ = plan_run.inventories(connections)
    moves = [move for move in saved.content.migrations if move.vm in names]
    there = vm_choice.found_again(connections, source, {move.ref: move.instance_uuid for move in moves})
    gone = [move.vm for move in moves if move.ref not in there]
    called = {there[move.ref]: move.vm for move in moves if move.ref in there}
    refs = list(called)
    source = vm_choice.with_vms(config, connections, source, refs, called)
    owner_id = owner_id or run
    made = plan_run.planned(
        config, connections, observer, source, refs, saved.overrides(), options,
        runs=runs, run=run, owner_id=owner_id, held=held, theirs=theirs,
    )  # fmt: skip
    return replace(made, findings=(*made.findings, *map(vm_checks.gone, gone)))


def _refuse_stale(differences: Sequence[str]) -> None:
    if not differences:
        return
    listed = differences[:MOST_NAMED]
    if more := len(differences) - len(listed):
        listed = [*listed, f"and {more} more"]
    lines = f" {listed[0]}" if len(listed) == 1 else "\n" + "\n".join(f"  {line}" for line in listed)
    message = f"the plan is stale, nothing was changed:{lines}"
    raise StaleError(message, hint="plan again")
