"""What every call to a vCenter shares: properties in pages, references, faults turned into our errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.parse import unquote
from xml.parsers.expat import ExpatError

from pyVmomi import VmomiSupport, vim, vmodl
from pyVmomi.VmomiSupport import ManagedObject

from lrvmotion.errors import RefusedError, TrustError, UnreachableError
from lrvmotion.model.inventory import MoRef
from lrvmotion.run.credentials import hidden
from lrvmotion.vsphere import faults
from lrvmotion.vsphere.certificate import NotTrustedError, distrust

PAGE = 500  # objects of one answer; pyVmomi's parser takes about 36 µs a value (vsphere.md 13.2)
WIRE_ERRORS = (OSError, HTTPException, ExpatError)
_AGAIN = "see whether the vCenter and the way to it are well, then run the command again"

Row = tuple[Any, dict[str, Any]]
T = TypeVar("T")


def moref(managed: ManagedObject) -> MoRef:
    """Return the reference of a managed object."""
    return MoRef(str(managed._wsdlName), str(managed._moId))  # noqa: SLF001 - there is no other way to it


def moref_or_none(managed: ManagedObject | None) -> MoRef | None:
    """Return the reference of a managed object that may not be there, or may not be seen."""
    return None if managed is None else moref(managed)


def name_of(row: Mapping[str, Any]) -> str:
    """Return the name among the properties *row* of an object, "" where it is not told.

    vCenter escapes %, / and backslash in it.
    """
    return unquote(str(row.get("name", "")))


def required(manager: T | None) -> T:
    """Return *manager*, one of those that a vCenter always has, although the API lets a server lack it."""
    if manager is None:
        message = "the server lacks a manager that every vCenter has"
        raise RefusedError(message, hint="the configured address may be an ESXi host's")
    return manager


def missing(fault: vmodl.fault.ManagedObjectNotFound) -> ManagedObject | None:
    """Return the object that *fault* is about, None where it does not say: not every server does."""
    return fault.obj


def managed_object(stub: Any, ref: MoRef) -> Any:  # noqa: ANN401
    """Return the managed object *ref* of the vCenter behind *stub*."""
    return VmomiSupport.GetWsdlType("urn:vim25", ref.kind)(ref.value, stub)


def retrieve(
    content: vim.ServiceInstanceContent,
    wanted: Mapping[Any, Sequence[str]],
    objects: Sequence[Any] | None = None,
) -> list[Row]:
    """Return (object, {path: value}) for all objects of the *wanted* types, or for *objects*.

    One view and one paged answer, however many objects there are. What an object does not have, or what we may not
    see of it, is left out of its dict. Raises pyVmomi's faults.
    """
    if objects is not None and not objects:
        return []
    if objects is None:
        with container_view(content, list(wanted)) as view:
            return retrieve_in(content, view, wanted)
    roots = [vmodl.query.PropertyCollector.ObjectSpec(obj=item, skip=False) for item in objects]
    return _pages(content, filter_spec(roots, wanted))


def retrieve_in(
    content: vim.ServiceInstanceContent, view: vim.view.ContainerView, wanted: Mapping[Any, Sequence[str]]
) -> list[Row]:
    """Return (object, {path: value}) for the objects of the *wanted* types in *view*."""
    return _pages(content, filter_spec([in_view(view)], wanted))


@contextmanager
def container_view(
    content: vim.ServiceInstanceContent, kinds: Sequence[type[ManagedObject]]
) -> Iterator[vim.view.ContainerView]:
    """Have a view of all objects of *kinds*, and give it back in the end; at the latest it ends with the session."""
    manager = required(content.viewManager)
    view = manager.CreateContainerView(content.rootFolder, list(kinds), True)
    try:
        yield view
    finally:
        with suppress(vmodl.MethodFault, *WIRE_ERRORS):
            view.DestroyView()


def in_view(view: vim.view.ContainerView) -> vmodl.query.PropertyCollector.ObjectSpec:
    """Return the ObjectSpec of what is in *view*."""
    collector = vmodl.query.PropertyCollector
    walk = collector.TraversalSpec(name="view", path="view", skip=False, type=vim.view.ContainerView)
    return collector.ObjectSpec(obj=view, skip=True, selectSet=[walk])


def filter_spec(
    roots: Sequence[vmodl.query.PropertyCollector.ObjectSpec], wanted: Mapping[Any, Sequence[str]]
) -> vmodl.query.PropertyCollector.FilterSpec:
    """Return the FilterSpec of the *wanted* paths by type, from *roots* on."""
    collector = vmodl.query.PropertyCollector
    properties = [collector.PropertySpec(type=kind, all=False, pathSet=list(paths)) for kind, paths in wanted.items()]
    return collector.FilterSpec(objectSet=list(roots), propSet=properties)


def _pages(content: vim.ServiceInstanceContent, spec: vmodl.query.PropertyCollector.FilterSpec) -> list[Row]:
    rows: list[Row] = []
    options = vmodl.query.PropertyCollector.RetrieveOptions(maxObjects=PAGE)
    page = content.propertyCollector.RetrievePropertiesEx([spec], options)
    while page is not None:
        rows += [(item.obj, {prop.name: prop.val for prop in item.propSet}) for item in page.objects]
        if not page.token:
            break
        page = content.propertyCollector.ContinueRetrievePropertiesEx(page.token)
    return rows


def properties_of(content: vim.ServiceInstanceContent, managed: ManagedObject, paths: Sequence[str]) -> dict[str, Any]:
    """Return {path: value} of one managed object in one call."""
    rows = retrieve(content, {type(managed): paths}, [managed])
    return rows[0][1] if rows else {}


@contextmanager
def mapped(subject: str) -> Iterator[None]:
    """Turn what a vCenter call raises into our errors; *subject* begins the sentence ("source/esx-a1: option X")."""
    try:
        yield
    except vim.fault.InvalidLogin as fault:
        raise TrustError(f"{subject}: {faults.text(fault)}") from None  # noqa: EM102
    except vim.fault.NotAuthenticated:
        message = f"{subject}: the vCenter has ended our session"
        raise TrustError(message, hint="log in again") from None
    except vim.fault.NoPermission as fault:
        raise RefusedError(*_permission(subject, fault)) from None
    except vmodl.fault.ManagedObjectNotFound as fault:
        lost = missing(fault)
        gone = moref(lost) if lost is not None else "an object"
        message = f"{subject}: {gone} no longer exists"
        raise RefusedError(message, hint="plan again") from None
    except vmodl.fault.HostCommunication as fault:
        message = f"{subject}: vCenter does not reach the host ({faults.text(fault)})"
        raise UnreachableError(message, hint="check the host's connection state") from None
    except vmodl.MethodFault as fault:
        raise RefusedError(f"{subject}: {faults.text(fault)}", hint=faults.classify(fault).hint) from None  # noqa: EM102
    except NotTrustedError as error:
        found = distrust(error)
        raise TrustError(f"{subject}: {found.message}", hint=found.hint) from None  # noqa: EM102
    except WIRE_ERRORS as error:
        message = f"{subject}: no answer from the vCenter: {_reason(error)}"
        raise UnreachableError(message, hint=_AGAIN) from None


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "nothing came for too long"
    if isinstance(error, ExpatError):
        return f"it ended half-way ({error})"
    return hidden(str(error)) or type(error).__name__


def _permission(subject: str, fault: vim.fault.NoPermission) -> tuple[str]:
    missing = [
        f"{privilege} on {moref(item.entity)}"
        for item in getattr(fault, "missingPrivileges", None) or ()
        for privilege in item.privilegeIds
    ]
    if not missing and fault.privilegeId:
        missing = [fault.privilegeId + (f" on {moref(fault.object)}" if fault.object is not None else "")]
    return (f"{subject}: the account lacks the privilege {', '.join(missing) or '(vCenter does not say which)'}",)
