"""The VMs of a run: what the user said is looked up at the source, and each VM gets the name that it has in the run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lrvmotion.checks import vms as vm_checks
from lrvmotion.config import rvtools, vm_csv
from lrvmotion.config.schema import Config
from lrvmotion.config.vm_csv import VmOverride
from lrvmotion.errors import UsageError
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import Inventory, MoRef, did_you_mean
from lrvmotion.model.vm import vm_address, vm_role
from lrvmotion.model.vm.vm_role import VmRole
from lrvmotion.plan import vm_filter, vm_selection
from lrvmotion.plan.vm_filter import Filter, Traits
from lrvmotion.plan.vm_selection import Choice, Elsewhere, Lookup, MovedVm
from lrvmotion.workflows.connections import Connections

if TYPE_CHECKING:
    from lrvmotion.vsphere.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenVms:
    """The *source* with the chosen VMs in full, their *refs* in order, and what is *wanted* of each, by its name.

    *findings* say what was left out.
    """

    source: Inventory
    refs: tuple[MoRef, ...]
    wanted: Mapping[str, VmOverride]
    findings: tuple[Finding, ...] = ()


def choose(
    config: Config,
    connections: Connections,
    source: Inventory,
    target: Inventory,
    choice: Choice,
    moved: Sequence[MovedVm] = (),
) -> ChosenVms:
    """Return the VMs of *choice*; UsageError for any that is unknown, ambiguous or at the target already.

    *moved* are the VMs that runs of the journal moved (run_state.moved_by).
    """
    if not choice:
        return ChosenVms(source=source, refs=(), wanted={})
    served = served_by(config, connections)
    left: tuple[Finding, ...]
    if choice.test is not None:
        refs, left = _matching(connections, source, [choice], served)
        source = with_vms(config, connections, source, refs, serving=served)
        return ChosenVms(source=source, refs=refs, wanted={}, findings=left)
    from lrvmotion.vsphere.inventory.vm_lookup import VmLookup

    lookup = VmLookup(connections.session("source"), source)
    elsewhere = Elsewhere(target=target, lookup=VmLookup(connections.session("target"), target), moved=moved)
    if choice.exported:
        refs, left = _exported(config, connections, source, choice, lookup, elsewhere, served)
        source = with_vms(config, connections, source, refs, serving=served)
        return ChosenVms(source=source, refs=refs, wanted={}, findings=left)
    away: tuple[Finding, ...] = ()
    if choice.remaining:
        choice, away = _remaining(source, choice, lookup, elsewhere)
    patterns = vm_selection.patterns(source, choice.names)
    said = [name for name in choice.names if name not in patterns] or [wish.vm for wish in choice.overrides]
    lines = {wish.vm: wish.line for wish in choice.overrides if wish.line}
    called = {wish.vm: wish.called for wish in choice.overrides if wish.called}
    with _also(lambda: vm_csv.check(choice.overrides, target, choice.file)):
        found = vm_selection.resolve(source, said, lookup, elsewhere, lines=lines, called=called, where=choice.file)
    refs = tuple(found)
    left = ()
    if patterns:
        tests = [Choice(expression=pattern, test=vm_selection.matching([pattern])) for pattern in patterns]
        more, left = _matching(connections, source, tests, served)
        refs = tuple(dict.fromkeys([*refs, *more]))
    kept = {ref: wish.called for ref, wish in zip(refs, choice.overrides, strict=False) if wish.called}
    source = with_vms(config, connections, source, refs, kept, serving=served)
    names = {vm.ref: vm.name for vm in source.vms}
    wishes = zip(found, choice.overrides, strict=False)
    wanted = {names[ref]: replace(wish, vm=names[ref]) for ref, wish in wishes if ref in names}
    vm_csv.check_parts(wanted, source.vms, choice.file)
    return ChosenVms(source=source, refs=refs, wanted=wanted, findings=(*left, *away))


def _exported(
    config: Config,
    connections: Connections,
    source: Inventory,
    choice: Choice,
    lookup: Lookup,
    elsewhere: Elsewhere,
    serving: Mapping[MoRef, str],
) -> tuple[tuple[MoRef, ...], tuple[Finding, ...]]:
    """Return the VMs of an export, and what is left out: rows of other vCenters, templates and infrastructure."""
    own, others = rvtools.of_vcenter(choice.exported, config.source.vcenter, source.instance_uuid, choice.file)
    vms = [vm for vm in own if not vm.template]
    addresses = vm_selection.exported(source, vms, lookup)
    lines = {address: vm.line for address, vm in zip(addresses, vms, strict=True)}
    by_id = (vm_address.is_uuid, vm_address.reference)
    called = {
        address: vm.name for address, vm in zip(addresses, vms, strict=True) if any(is_so(address) for is_so in by_id)
    }
    found = vm_selection.resolve(source, addresses, lookup, elsewhere, lines=lines, called=called, where=choice.file)
    known = dict(traits_of(connections, source)) if found else {}
    refs, left = vm_selection.without_infrastructure([(known[ref], ref) for ref in found if ref in known], serving)
    if templates := [vm.name for vm in own if vm.template]:
        left[VmRole.TEMPLATE] = [*templates, *left.get(VmRole.TEMPLATE, [])]
    if not refs:
        message = f"{choice.file}: no VM is left but what is left out: {vm_selection.told(left)}"
        raise UsageError(message, hint="choose VMs that are a load to move")
    return tuple(refs), (*vm_checks.of_other_vcenters(others, choice.file), *vm_checks.left_out(left))


def _remaining(
    source: Inventory, choice: Choice, lookup: Lookup, elsewhere: Elsewhere
) -> tuple[Choice, tuple[Finding, ...]]:
    """Return *choice* without the VMs that are not at the source any more, and what to say of these.

    UsageError where none is left.
    """
    there = vm_selection.present(source, [wish.vm for wish in choice.overrides], lookup)
    left = tuple(wish for wish in choice.overrides if wish.vm in there)
    if not left:
        message = f"{choice.file}: none of its VMs is at the source any more"
        raise UsageError(message, hint="'lrvmotion status' lists the runs of this journal")
    gone = [wish for wish in choice.overrides if wish.vm not in there]
    said = [vm_checks.gone(wish.called or wish.vm, elsewhere.told(wish.vm, wish.called)) for wish in gone]
    return replace(choice, overrides=left), tuple(said)


def with_vms(
    config: Config,
    connections: Connections,
    source: Inventory,
    refs: Sequence[MoRef],
    called: Mapping[MoRef, str] | None = None,
    *,
    serving: Mapping[MoRef, str] | None = None,
) -> Inventory:
    """Return *source* with the full properties of the VMs *refs*, each *called* what a plan calls it, else by labels.

    No two VMs have one name then. *serving*: which of them vCenters and relay hosts of *config* run in, where that was
    looked for already.
    """
    from lrvmotion.vsphere.inventory.collect import collect_vms

    if not refs:
        return source
    found = vm_address.called(collect_vms(connections.session("source"), source, refs), called)
    known = served_by(config, connections) if serving is None else serving
    return replace(found, vms=tuple(replace(vm, serves=known[vm.ref]) if vm.ref in known else vm for vm in found.vms))


def found_again(connections: Connections, source: Inventory, vms: Mapping[MoRef, str]) -> dict[MoRef, MoRef]:
    """Return where each of *vms* (its instance UUID, by the reference that it had) is at the *source* now.

    One that was registered again has another reference; those that are not there are left out.
    """
    from lrvmotion.vsphere.inventory.vm_lookup import VmLookup

    there = {ref for _, ref in source.vm_names}
    away = {uuid.lower(): ref for ref, uuid in vms.items() if ref not in there and uuid}
    if not away:
        return {ref: ref for ref in vms if ref in there}
    lookup = VmLookup(connections.session("source"), source)
    again = {away[uuid]: ref for uuid, ref in lookup.by_instance_uuid(away).items()}
    return {ref: ref if ref in there else again[ref] for ref in vms if ref in there or ref in again}


@contextmanager
def _also(check: Callable[[], None]) -> Iterator[None]:
    """Make *check*, too, whether or not UsageError ends what is done: all mistakes are told at once."""
    try:
        yield
    except UsageError as error:
        try:
            check()
        except UsageError as more:
            hint = "; ".join(hint for hint in (error.hint, more.hint) if hint)
            raise UsageError(f"{error.message}\n{more.message}", hint=hint or None) from None  # noqa: EM102
        raise
    check()


def _matching(
    connections: Connections, source: Inventory, choices: Sequence[Choice], serving: Mapping[MoRef, str]
) -> tuple[tuple[MoRef, ...], tuple[Finding, ...]]:
    """Return the VMs of all *choices*, and what they leave out; UsageError for one that has none."""
    known = traits_of(connections, source, [choice.test for choice in choices if choice.test is not None])
    refs: list[MoRef] = []
    left: dict[VmRole, list[str]] = {}
    for choice in choices:
        found, out = vm_selection.by_traits(choice, known, serving)
        refs += found
        for role, names in out.items():
            left[role] = list(dict.fromkeys([*left.get(role, []), *names]))
    return tuple(dict.fromkeys(refs)), tuple(vm_checks.left_out(left))


def traits_of(connections: Connections, there: Inventory, filters: Sequence[Filter] = ()) -> list[tuple[MoRef, Traits]]:
    """Return the traits of all VMs *there*, with the tags and custom attributes that *filters* compare.

    UsageError for a tag or attribute that the source does not have: `tag!=` would hold of every VM.
    """
    from lrvmotion.vsphere.inventory import vm_traits
    from lrvmotion.vsphere.vm import attributes as vm_attributes

    session = connections.session("source" if there.site == "source" else "target")
    names = {name for one in filters for name in one.attributes}
    fields = vm_attributes.fields(session) if names else {}
    patterns = list(dict.fromkeys(pattern for one in filters for pattern in one.tags))
    tags, attached = _tags(session, patterns) if patterns else ({}, {})
    if there.site == "source":
        _verify(patterns, names, tags.values(), fields)
    wanted = {key: name for name, key in fields.items() if name in names}
    known = vm_traits.traits(session, there, wanted, sizes=any(one.sizes for one in filters))
    return [
        (ref, replace(one, tags=tuple(tags[key] for key in attached[ref.value])) if ref.value in attached else one)
        for ref, one in known
    ]


def _tags(session: Session, patterns: Sequence[str]) -> tuple[dict[str, tuple[str, str]], dict[str, list[str]]]:
    """Return the names of all tags by their ids, and which that fit one of *patterns* each VM has."""
    from lrvmotion.vsphere.vm.tags import Tagging

    fits = [vm_filter.fits_tag(pattern) for pattern in patterns]
    with closing(Tagging(session)) as tagging:
        names = tagging.names()
        fitting = [key for key, tag in names.items() if any(fit(*tag) for fit in fits)]
        return names, tagging.vms(fitting)


def _verify(
    patterns: Collection[str],
    attributes: Collection[str],
    tags: Collection[tuple[str, str]],
    fields: Mapping[str, int],
) -> None:
    """Raise UsageError for *patterns* that no tag fits, and *attributes* that are none of the *fields*."""
    problems, hints = [], []
    for pattern in patterns:
        fits = vm_filter.fits_tag(pattern)
        if not any(fits(*tag) for tag in tags):
            problems.append(f"no tag matches {pattern!r}")
            hints.append(did_you_mean(pattern, sorted({name for _, name in tags} | {"/".join(tag) for tag in tags})))
    for name in sorted(set(attributes) - fields.keys()):
        problems.append(f"there is no custom attribute {name!r}")
        hints.append(did_you_mean(name, sorted(fields)))
    if problems:
        message = f"source: {'; '.join(problems)}"
        raise UsageError(message, hint="; ".join(dict.fromkeys(hints)))


def served_by(config: Config, connections: Connections) -> dict[MoRef, str]:
    """Return the VMs of the source that the vCenters and the relay hosts run in, each with what runs in it."""
    from lrvmotion.vsphere.inventory import infrastructure

    sessions = connections.session("source"), connections.session("target")
    named = zip((one.own_name for one in sessions), vm_role.VCENTERS, strict=True)
    addresses = {name: whose for name, whose in named if name}
    addresses |= dict(zip((config.source.vcenter, config.target.vcenter), vm_role.VCENTERS, strict=True))
    for relay in config.relay.every:
        addresses |= {relay.host: f"relay host {relay.name}", relay.address: f"relay host {relay.name}"}
    return infrastructure.serving(connections.session("source"), addresses)
