"""Which VMs: said by the user one by one, by a pattern, an expression or a CSV file, against what the source holds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cached_property
from typing import Protocol

from lrvmotion.config.rvtools import ExportedVm
from lrvmotion.config.vm_csv import VmOverride
from lrvmotion.errors import UsageError
from lrvmotion.model.counted import counted
from lrvmotion.model.inventory import MOREF, Inventory, MoRef, did_you_mean, natural
from lrvmotion.model.vm import vm_address, vm_role
from lrvmotion.model.vm.vm_address import VmIdentity
from lrvmotion.model.vm.vm_role import VmRole
from lrvmotion.plan.vm_filter import Filter, Traits

MOST_TOLD, _MOST_HINTS = 20, 3
_PATTERN = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which VMs the user chose, in one of four ways; none of them means no VM.

    *names* are addresses (vm_address.FORMS) or patterns; *expression* is the text behind *test*; *file* is where
    *overrides* were read, or the rows of an export, *exported*. *remaining*: those of the overrides that are still at
    the source, for nobody named them.
    """

    names: tuple[str, ...] = ()
    expression: str = ""
    test: Filter | None = None
    overrides: tuple[VmOverride, ...] = ()
    exported: tuple[ExportedVm, ...] = ()
    file: str = ""
    remaining: bool = False

    def __bool__(self) -> bool:
        return bool(self.names or self.test or self.overrides or self.exported)


class Lookup(Protocol):
    """What a vCenter tells of single VMs; each is a call or two, however many VMs it has."""

    def identities(self, refs: Sequence[MoRef]) -> list[VmIdentity]:
        """Return what each of the VMs *refs* can be named by."""

    def by_instance_uuid(self, uuids: Collection[str]) -> Mapping[str, MoRef]:
        """Return the VMs that have one of *uuids* (lower case), by it."""

    def by_bios_uuid(self, uuids: Collection[str]) -> Mapping[str, Sequence[MoRef]]:
        """Return the VMs that have one of *uuids* (lower case) as their BIOS's, by it: copies may share one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedVm:
    """A VM that a *run* of the journal moved, called *vm* in it; *instance_uuid* "" where an old journal has none."""

    vm: str
    run: str
    instance_uuid: str = ""


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """Where a VM may be that the source has not: the *target*, and what the journal says was *moved* there."""

    target: Inventory
    lookup: Lookup
    moved: Sequence[MovedVm] = ()

    @cached_property
    def _names(self) -> Mapping[MoRef, str]:
        return {ref: name for name, ref in self.target.vm_names}

    @cached_property
    def _known(self) -> Collection[str]:
        return frozenset(self._names.values())

    def told(self, address: str, called: str = "") -> str | None:
        """Return in words that the VM of this *address*, *called* so by whoever asks, is not at the source any more.

        None where neither the target nor the journal knows it.
        """
        uuid = address.lower()
        found = [one for one in self.moved if address == one.vm or uuid == one.instance_uuid]
        last = found[-1] if found else MovedVm(vm=address, run="")
        known = last.instance_uuid or (uuid if vm_address.is_uuid(address) else "")
        if known:
            ref = self.lookup.by_instance_uuid([known]).get(known)
            there = self._names.get(ref, "") if ref is not None else None
            if there is None:  # a VM of that name there is another one
                has = "neither vCenter has it now" if vm_address.is_uuid(address) else "the target has it no longer"
                return f"was moved by run {last.run}, and {has}" if last.run else None
        else:
            there = address if address in self._known else None
        if there is None:
            return None
        notes = [f"run {last.run}"] if last.run else []
        notes += [f"called {there!r}"] if there and there != (called or address) else []
        return "is at the target already" + (f" ({', '.join(notes)})" if notes else "")


@dataclass(slots=True)
class _Search:
    """What is known of *addresses* at the source; *said* are the VMs that each of them means."""

    source: Inventory
    lookup: Lookup
    refs: dict[str, list[MoRef]] = field(default_factory=dict)
    said: dict[str, list[MoRef]] = field(default_factory=dict)
    seen: dict[MoRef, VmIdentity] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, ref in self.source.vm_names:
            self.refs.setdefault(name, []).append(ref)

    def look(self, addresses: Collection[str]) -> None:
        """Find what *addresses* mean: nothing is asked for names that one VM has.

        One that means nothing is tried without the blanks at its ends, which a spreadsheet may have left.
        """
        self._look(addresses)
        bare = {address: address.strip() for address in addresses if not self.said[address]}
        self._look({without for address, without in bare.items() if without not in self.said})
        self.said |= {address: self.said[without] for address, without in bare.items()}
        self.see(ref for refs in self.said.values() if len(refs) > 1 for ref in refs)

    def _look(self, addresses: Collection[str]) -> None:
        here = {ref for _, ref in self.source.vm_names}
        paths = {address: self._ends_so(address) for address in addresses}
        uuids = {address.lower() for address in addresses if vm_address.is_uuid(address)}
        by_uuid = self.lookup.by_instance_uuid(uuids) if uuids else {}
        self.see(ref for refs in paths.values() for ref in refs)
        for address in addresses:
            reference = vm_address.reference(address)
            if reference is not None and reference in here:  # it means that one, whatever else is called so
                self.said[address] = [reference]
                continue
            found = list(self.refs.get(address, []))
            found += [by_uuid[address.lower()]] if address.lower() in by_uuid else []
            found += [ref for ref in paths[address] if ref in self.seen and self.seen[ref].is_said(address)]
            self.said[address] = list(dict.fromkeys(found))

    def see(self, refs: Iterable[MoRef]) -> None:
        new = [ref for ref in dict.fromkeys(refs) if ref not in self.seen]
        self.seen |= {vm.ref: vm for vm in self.lookup.identities(new)} if new else {}

    def candidates(self, address: str) -> list[str]:
        """Return the VMs that *address* means, each as it can be typed: no other VM of the source is called so."""
        vms = [self.seen.get(ref) or VmIdentity(ref=ref, name=address) for ref in self.said[address]]
        labels = vm_address.labels(vms, names=False)
        self._look(labels.values())
        return sorted((labels[vm.ref] if len(self.said[labels[vm.ref]]) == 1 else vm.moref for vm in vms), key=natural)

    def _ends_so(self, address: str) -> list[MoRef]:
        return [ref for name in vm_address.possible_names(address) for ref in self.refs.get(name, [])]


def resolve(
    source: Inventory,
    addresses: Sequence[str],
    lookup: Lookup,
    elsewhere: Elsewhere | None = None,
    *,
    lines: Mapping[str, int] | None = None,
    called: Mapping[str, str] | None = None,
    where: str = "",
) -> list[MoRef]:
    """Return the VMs that *addresses* mean, in that order.

    UsageError names all that are unknown, ambiguous (with what can be typed instead) or named more than once; *lines*
    are where they stand in the file *where*, *called* what the user calls those that a run found by their UUID.
    """
    search = _Search(source, lookup)
    search.look(dict.fromkeys(addresses))
    problems: list[str] = []
    hints: list[str] = []
    first: dict[MoRef, str] = {}
    for address, times in Counter(addresses).items():
        line = f"line {lines[address]}: " if lines and address in lines else ""
        found = search.said[address]
        said = (called or {}).get(address, address)
        told = elsewhere.told(address, said) if not found and elsewhere is not None else None
        if times > 1:
            problems.append(f"{line}{said!r} is named {times} times")
        if told is not None:
            problems.append(f"{line}{said!r} {told}")
            hints.append("leave out what is not at the source any more")
        elif not found and said != address and vm_address.is_uuid(address):
            problems.append(f"{line}no VM has the UUID of {said!r}, {address}")
            hints.append("leave out what is not at the source any more")
        elif not found:
            problems.append(f"{line}no VM is called {said!r}")
            if len(hints) < _MOST_HINTS:  # looking for near misses among 10,000 names takes its time
                last = min([said, *vm_address.possible_names(said)], key=len)
                hints.append(did_you_mean(last or said, map(repr, search.refs)))
        elif len(found) > 1:
            candidates = ", ".join(map(repr, search.candidates(address)))
            problems.append(f"{line}{len(found)} VMs are called {said!r}: {candidates}")
            hints.append("name the one that is meant as it stands there")
        elif found[0] in first:
            problems.append(f"{line}{address!r} and {first[found[0]]!r} are one VM")
        first.setdefault(found[0], address) if found else None
    if problems:
        raise UsageError(_told(source.site, where, problems), hint="; ".join(dict.fromkeys(hints)) or None)
    return [search.said[address][0] for address in addresses]


def exported(source: Inventory, vms: Sequence[ExportedVm], lookup: Lookup) -> list[str]:
    """Return an address for each of *vms*: its instance UUID, else the reference of the only VM that it may be.

    One that may be none or several gets the address that `resolve` refuses.
    """
    either = {vm.either_uuid for vm in vms if vm.either_uuid}
    known = lookup.by_instance_uuid(either).keys() if either else ()
    uuids = {vm: vm.instance_uuid or vm.bios_uuid or vm.either_uuid for vm in vms}
    others = {uuid for vm, uuid in uuids.items() if uuid and not vm.instance_uuid and uuid not in known}
    by_bios = lookup.by_bios_uuid(others) if others else {}
    search = _Search(source, lookup)
    may_be = {
        vm: by_bios.get(uuid, ()) if uuid else search.refs.get(vm.name, ())
        for vm, uuid in uuids.items()
        if not (vm.instance_uuid or uuid in known)
    }
    search.see(ref for vm, refs in may_be.items() if len(refs) > 1 or not uuids[vm] for ref in refs)
    return [_address(vm, uuids[vm], may_be[vm], search) if vm in may_be else uuids[vm] for vm in vms]


def _address(vm: ExportedVm, uuid: str, refs: Sequence[MoRef], search: _Search) -> str:
    seen = [search.seen[ref] for ref in refs if ref in search.seen]
    fitting = [one.ref for one in seen if one.name == vm.name and vm.may_be(one)] if seen else refs
    if len(fitting) == 1:
        return MOREF + fitting[0].value
    if uuid and not refs:
        return uuid
    if fitting or (uuid and refs):
        return vm.name  # several
    path = f"{vm.folder.strip('/')}/{vm.name}" if vm.folder else vm.name
    return f"{vm.datacenter}:{path}" if vm.datacenter else path


def present(source: Inventory, addresses: Sequence[str], lookup: Lookup) -> set[str]:
    """Return those of *addresses* that mean a VM of the source."""
    search = _Search(source, lookup)
    search.look(dict.fromkeys(addresses))
    return {address for address in addresses if search.said[address]}


def _told(site: str, where: str, problems: Sequence[str]) -> str:
    if not where:
        return f"{site}: " + "; ".join(problems)
    if len(problems) == 1:
        return f"{where}: {site}: {problems[0]}"
    more = len(problems) - MOST_TOLD
    listed = [*problems[:MOST_TOLD], *([f"and {more} more"] if more > 0 else [])]
    return f"{where}: {site}: {len(problems)} mistakes\n" + "\n".join(f"  {problem}" for problem in listed)


def patterns(source: Inventory, names: Iterable[str]) -> list[str]:
    """Return those of *names* that are patterns ("web-*", "Prod/*"): a VM that is called so is meant itself."""
    there = {name for name, _ in source.vm_names}
    return [name for name in names if _PATTERN.search(name) and name not in there]


def matching(given: Sequence[str]) -> Filter:
    """Return the filter whether a VM's name or path matches one of the patterns *given*."""
    fits = [re.compile(translate(pattern)).match for pattern in given]
    return Filter(
        test=lambda vm: any(fit(form) for fit in fits for form in (vm.name, vm.path, f"{vm.datacenter}:{vm.path}"))
    )


def by_traits(
    choice: Choice, found: Iterable[tuple[MoRef, Traits]], serving: Mapping[MoRef, str] | None = None
) -> tuple[list[MoRef], dict[VmRole, list[str]]]:
    """Return the VMs that *choice*'s test holds of, vm2 before vm10, and the names of those that it leaves out.

    Left out is what is part of the infrastructure (vm_role); *serving* are the VMs that vCenters and relay hosts run
    in. UsageError for none.
    """
    holding = [(traits, ref) for ref, traits in found if choice.test is not None and choice.test(traits)]
    holding.sort(key=lambda one: (natural(one[0].name), one[1]))
    chosen, left = without_infrastructure(holding, serving)
    if not chosen:
        message = f"source: no VM matches {choice.expression!r}" + (
            f" but what is left out: {told(left)}" if left else ""
        )
        raise UsageError(message, hint="patterns are case-sensitive, and a folder is its path: folder=Prod/Web*")
    return chosen, left


def told(left: Mapping[VmRole, Collection[str]]) -> str:
    """Return in words how many VMs are *left* out, by what they are."""
    return ", ".join(counted(len(names), role) for role, names in left.items())


def without_infrastructure(
    found: Iterable[tuple[Traits, MoRef]], serving: Mapping[MoRef, str] | None = None
) -> tuple[list[MoRef], dict[VmRole, list[str]]]:
    """Return those of the VMs *found* that may be meant by many names at once, and the names of the others."""
    chosen: list[MoRef] = []
    left: dict[VmRole, list[str]] = {}
    for traits, ref in found:
        serves = vm_role.serves((serving or {}).get(ref, ""))
        role = vm_role.role(managed_by=traits.managed_by, serves=serves, template=traits.template)
        if role is None:
            chosen.append(ref)
        else:
            left.setdefault(role, []).append(traits.name)
    return chosen, left


def within(
    address: str, vms: Mapping[str, Sequence[VmIdentity]], called: Mapping[str, MoRef], where: str
) -> list[MoRef]:
    """Return the VM of a run that *address* means, nothing where it means none; *vms* are by vm_address.by_form.

    What one is *called* comes first: a plan keeps that where the VM was renamed since. Raise UsageError where *address*
    means several; *where* it stands.
    """
    if address in called:
        return [called[address]]
    reference = vm_address.reference(address)
    known = [*vms.get(address, []), *(vms.get(address.lower(), []) if vm_address.is_uuid(address) else [])]
    found = [vm for vm in dict.fromkeys(known) if vm.is_said(address)]
    found = [vm for vm in found if vm.ref == reference] or found
    if len(found) > 1:
        forms = ", ".join(map(repr, sorted(vm_address.labels(found, names=False).values(), key=natural)))
        message = f"{where}: {len(found)} VMs of this run are called {address!r}: {forms}"
        raise UsageError(message, hint="name the one that is meant as it stands there")
    return [vm.ref for vm in found]
