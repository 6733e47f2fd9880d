"""How a VM is named: by name, folder path, instance UUID or reference; and what tells VMs of one name apart; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lrvmotion.model.inventory import MOREF, Inventory, MoRef, VirtualMachine

VM = "VirtualMachine"
FORMS = "a VM is named by its name, FOLDER/NAME, DATACENTER:FOLDER/NAME, its instance UUID, or moref:vm-42"
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class VmIdentity:
    """What a VM can be named by; *folder* is a path ("" is the datacenter's own folder), None in a vApp or unseen."""

    ref: MoRef
    name: str
    instance_uuid: str = ""
    folder: str | None = None
    datacenter: str = ""

    @property
    def path(self) -> str | None:
        """Folder and name, "Prod/Web/web1"; None where the folder is not known."""
        if self.folder is None:
            return None
        return f"{self.folder}/{self.name}" if self.folder else self.name

    @property
    def whole_path(self) -> str | None:
        """The path with its datacenter's path, "EU/DC2:Prod/Web/web1"; None where either is not known."""
        return f"{self.datacenter}:{self.path}" if self.datacenter and self.path is not None else None

    @property
    def short_datacenter(self) -> str:
        """Of "EU/DC2" the datacenter without its folder, "DC2"."""
        return self.datacenter[self.datacenter.rfind("/") + 1 :]

    @property
    def moref(self) -> str:
        """The reference, "moref:vm-42"."""
        return MOREF + self.ref.value

    @property
    def forms(self) -> tuple[str, ...]:
        """Everything that it can be named by, the shortest first; the UUID in lower case."""
        known = (
            self.name,
            self.path,
            f"{self.short_datacenter}:{self.path}" if self.whole_path is not None else None,
            self.whole_path,
            self.instance_uuid.lower(),
            self.moref,
        )
        return tuple(dict.fromkeys(form for form in known if form))

    def is_said(self, address: str) -> bool:
        """Whether *address* names it."""
        return address in self.forms or (is_uuid(address) and address.lower() == self.instance_uuid.lower())


def is_uuid(address: str) -> bool:
    """Whether *address* has the shape of a UUID."""
    return _UUID.fullmatch(address) is not None


def reference(address: str) -> MoRef | None:
    """Return the reference that *address* says ("moref:vm-42"), None for anything else."""
    return MoRef(VM, address.removeprefix(MOREF)) if address.startswith(MOREF) else None


def possible_names(address: str) -> list[str]:
    """Return every name that the last part of *address* may be, were it a path: names may hold slashes and colons."""
    return [address[mark.end() :] for mark in re.finditer("[/:]", address)]


def labels(vms: Sequence[VmIdentity], *, names: bool = True) -> dict[MoRef, str]:
    """Return what each of *vms* is called where all of them are meant: the shortest form that names no other of them.

    Without *names* the bare name is none of the forms: other VMs have it.
    """
    said = by_form(vms)
    return {
        vm.ref: next(form for form in (*vm.forms, vm.moref) if form == vm.moref or _alone(form, vm, said, names=names))
        for vm in vms
    }


def _alone(form: str, vm: VmIdentity, said: Mapping[str, Sequence[VmIdentity]], *, names: bool) -> bool:
    if form.startswith(MOREF) or (form != form.lower() and is_uuid(form) and form.lower() in said):
        return False  # a name that looks like a reference or a UUID means the VM whose it is
    return len(said[form]) == 1 and (names or form != vm.name) and form != vm.instance_uuid.lower()


def by_form(vms: Iterable[VmIdentity]) -> dict[str, list[VmIdentity]]:
    """Return *vms* by everything that each can be named by."""
    found: dict[str, list[VmIdentity]] = {}
    for vm in vms:
        for form in vm.forms:
            found.setdefault(form, []).append(vm)
    return found


def identity(vm: VirtualMachine) -> VmIdentity:
    """Return what *vm* can be named by."""
    return VmIdentity(
        ref=vm.ref,
        name=vm.own_name,
        instance_uuid=vm.instance_uuid,
        folder=vm.folder if vm.datacenter and not vm.vapp else None,
        datacenter=vm.datacenter,
    )


def called(inventory: Inventory, saved: Mapping[MoRef, str] | None = None) -> Inventory:
    """Return *inventory* with its chosen VMs called so that each name means one: as *saved*, else as labels() says.

    A name that begins or ends with a blank is in quotation marks: it would not be seen.
    """
    made = {
        ref: name if name == name.strip() else repr(name)
        for ref, name in labels([identity(vm) for vm in inventory.vms]).items()
    }
    names = made | {**(saved or {})}
    return replace(
        inventory,
        vms=tuple(
            vm if names[vm.ref] == vm.name else replace(vm, name=names[vm.ref], inventory_name=vm.own_name)
            for vm in inventory.vms
        ),
    )
