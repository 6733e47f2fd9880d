"""What `check` asks a vCenter beyond its inventory: clock, privileges, licences, DRS. Nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from pyVmomi import vim

from lrvmotion.errors import RefusedError
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.target_id import TargetId
from lrvmotion.model.vcenter import Clock, Drs, Lacking, Licence
from lrvmotion.vsphere.client import managed_object, name_of, properties_of, required, retrieve
from lrvmotion.vsphere.session import Session

Wanted = Mapping[tuple[str, MoRef], Sequence[str]]  # (how messages call it, the entity) -> privilege ids


def clock(session: Session, now: Callable[[], str]) -> Clock:
    """Compare the vCenter's CurrentTime with *now* (ISO 8601): half of what the call took is its uncertainty.

    The first call may open a connection, so that the shortest of three counts.
    """
    service = vim.ServiceInstance("ServiceInstance", session.stub)
    found = []
    for _ in range(3):
        here = datetime.fromisoformat(now())
        begun = time.monotonic()
        there = session.call(f"{session.site}: clock", service.CurrentTime)
        took = time.monotonic() - begun
        found.append(Clock(ahead_s=(there - here).total_seconds() - took / 2, within_s=took / 2))
    return min(found, key=lambda one: one.within_s)


def lacking(session: Session, wanted: Wanted) -> list[Lacking]:
    """Return what the account lacks of *wanted*; one call for all entities that want the same.

    Raises RefusedError where the vCenter does not say.
    """
    groups: dict[tuple[str, ...], list[tuple[str, MoRef]]] = {}
    for where, privileges in wanted.items():
        if privileges:
            groups.setdefault(tuple(privileges), []).append(where)
    subject = f"{session.site}: privileges"
    found: list[Lacking] = []
    for privileges, places in groups.items():
        entities = [managed_object(session.stub, ref) for _, ref in places]

        def ask(
            entities: list[vim.ManagedEntity] = entities, privileges: tuple[str, ...] = privileges
        ) -> Sequence[vim.AuthorizationManager.EntityPrivilege]:
            content = session.content
            key = required(required(content.sessionManager).currentSession).key
            return required(content.authorizationManager).HasPrivilegeOnEntities(entities, key, list(privileges))

        answer = session.call(subject, ask) or ()
        if len(answer) != len(places):
            message = f"{subject}: {len(answer)} answers to {len(places)} questions"
            raise RefusedError(message)
        for (name, _), entity in zip(places, answer, strict=True):
            missing = tuple(str(item.privId) for item in entity.privAvailability or () if not item.isGranted)
            if missing:
                found.append(Lacking(subject=name, privileges=missing))
    return found


def licences(session: Session, hosts: Mapping[str, str]) -> list[Licence]:
    """Return the licences of *hosts* (moId to name) that the vCenter tells of; RefusedError where it does not tell."""
    subject = f"{session.site}: licence"

    def ask() -> list[vim.LicenseAssignmentManager.LicenseAssignment] | None:
        manager = session.content.licenseManager
        if manager is None:
            return None
        row = properties_of(session.content, manager, ["licenseAssignmentManager"])
        assignments = row.get("licenseAssignmentManager")
        return None if assignments is None else assignments.QueryAssignedLicenses(None)

    answer = session.call(subject, ask)
    if answer is None:
        message = f"{subject}: the account may not read it"
        raise RefusedError(message)
    found = [
        Licence(
            subject=TargetId.host(session.site, hosts[str(item.entityId)]),
            name=str(item.assignedLicense.name or ""),
            edition=str(item.assignedLicense.editionKey or ""),
        )
        for item in answer
        if str(item.entityId) in hosts and item.assignedLicense is not None
    ]
    if not found:
        message = f"{subject}: it tells of none of the hosts"
        raise RefusedError(message)
    return found


def drs(session: Session, clusters: Sequence[str]) -> list[Drs]:
    """Return the DRS configuration of those of *clusters* (names) that have one."""
    kind = vim.ClusterComputeResource
    rows = session.call(
        f"{session.site}: clusters", lambda: retrieve(session.content, {kind: ("name", "configurationEx")})
    )
    found = []
    for _, row in rows:
        config = getattr(row.get("configurationEx"), "drsConfig", None)
        name = name_of(row)
        if config is not None and name in clusters:
            level = str(config.defaultVmBehavior or "")
            found.append(Drs(cluster=name, enabled=bool(config.enabled), level=level))
    return sorted(found, key=lambda one: one.cluster)
