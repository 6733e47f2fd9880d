"""Which VMs are refused by errors of their own, and which with them."""

from __future__ import annotations

from dataclasses import replace

from fakes import vm
from lrvmotion.checks.catalogue import Code
from lrvmotion.plan.refusals import others, own_errors
from worlds import migration

FLOPPY = Code.VM_FLOPPY.error("vm/Prod/web1", "a floppy drive is connected")
COLD = Code.VM_POWERED_OFF.warning("vm/db", "is powered off")
LOCKED = Code.HOST_LOCKED.error("source/a1", "another run")


def moves(**depends_on):
    base = migration(vm("x", "a1"))
    return [replace(base, vm=name, depends_on=before) for name, before in depends_on.items()]


def test_errors_of_a_vm_are_its_own_and_those_of_a_host_nobodys():
    """Warnings refuse nobody."""
    assert own_errors([FLOPPY, COLD, LOCKED], ["db", "Prod/web1"]) == {"Prod/web1": [FLOPPY]}
    assert others([FLOPPY, COLD, LOCKED], {"Prod/web1": [FLOPPY]}) == [COLD, LOCKED]


def test_what_depends_on_a_refused_vm_is_refused_however_far():
    """In any order; a VM of another run refuses nobody."""
    found = own_errors(
        [FLOPPY], ["c", "b", "Prod/web1", "d"], moves(c=("b",), b=("other", "Prod/web1"), d=("other",))
    )  # fmt: skip
    assert {name: [one.code for one in errors] for name, errors in found.items()} == {
        "c": ["vm-depends-refused"],
        "b": ["vm-depends-refused"],
        "Prod/web1": ["vm-floppy"],
    }
