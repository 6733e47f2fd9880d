"""The simulated vCenter's registry: types of managed objects are found by name, so that no module needs all others."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from lrvmotion.lab.vcenter import build
from lrvmotion.lab.vcenter.managed_object import ManagedObject
from lrvmotion.lab.vcenter.registry import type_named


def concrete():
    """Return every type that the modules of the vCenter define and a client can meet."""
    names = [
        path.stem for path in Path(build.__file__).parent.glob("*.py") if path.stem not in {"__main__", "__init__"}
    ]
    for name in names:
        module = import_module(f"lrvmotion.lab.vcenter.{name}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, ManagedObject) and kind.__module__ == module.__name__ and hasattr(kind, "wsdl"):
                yield kind


def test_every_managed_object_is_found_by_its_name():
    """Its class's name is the API's, or tells apart two classes of one API type."""
    kinds = list(concrete())
    assert len(kinds) > 20
    assert all(type_named(kind.__name__) is kind for kind in kinds)
    strange = {kind.__name__ for kind in kinds if kind.__name__ != kind.wsdl}
    estates = {"EstateDatastore", "EstateHost", "EstateVirtualMachine"}
    assert strange <= {"VpxSettings", "ManagedMethodExecuter", *estates}


def test_two_types_of_one_name_are_refused():
    """Else the one that is imported last would be made in place of the other."""
    with pytest.raises(TypeError, match="HostSystem"):
        type("HostSystem", (ManagedObject,), {})


def test_a_name_that_nothing_has_is_an_error():
    """A module that build does not import defines no type."""
    with pytest.raises(KeyError):
        type_named("HostTeleporter")
