"""The storage policy endpoint, /pbm/sdk: which policies there are, and which one a VM's home and disks have."""

# ruff: noqa: ANN401, N803 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyVmomi import VmomiSupport, pbm, vim, vmodl

from lrvmotion.lab.vcenter import soap_codec

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Vcenter

NS = "urn:pbm"
_LOWEST = VmomiSupport.versionMap["pbm/1.0"]
_MADE = datetime(2024, 1, 1, tzinfo=UTC)
# The session of vCenter that a client goes by: a SOAP header of this name (so do VMware's samples for pyVmomi).
_COOKIE = re.compile(rb"<vcSessionCookie[^>]*>([^<]+)<")
_MANAGERS = {
    "aboutInfo": pbm.AboutInfo(name="PBM", version="2.0", instanceUuid="lab"),
    "sessionManager": pbm.auth.SessionManager("SessionManager"),
    "capabilityMetadataManager": pbm.capability.CapabilityMetadataManager("CapabilityMetadataManager"),
    "profileManager": pbm.profile.ProfileManager("ProfileManager"),
    "complianceManager": pbm.compliance.ComplianceManager("complianceManager"),
    "placementSolver": pbm.placement.PlacementSolver("placementSolver"),
}


class Pbm:
    """What the endpoint keeps: the ids of policies by name. What a VM has is in its traits."""

    def __init__(self, vcenter: Vcenter) -> None:
        self.vcenter = vcenter
        self.policies: dict[str, str] = {}

    def know(self, name: str) -> str:
        """Return the id of the policy *name*; where there is none, it is made."""
        return self.policies.setdefault(name, str(uuid.uuid4()))

    def name_of(self, key: str) -> str:
        """Return the name of the policy with this id; InvalidArgument where there is none."""
        for name, number in self.policies.items():
            if number == key:
                return name
        raise vmodl.fault.InvalidArgument(invalidProperty="profileId", msg=f"There is no profile {key}.")

    def execute(self, action: str, body: bytes) -> bytes:
        """Answer one SOAP request."""
        version = VmomiSupport.versionMap.get(action.removeprefix("urn:"), _LOWEST)
        try:
            request = soap_codec.parse(body, version, NS)
            trouble = self.vcenter.trouble
            trouble.record(request.method, writes=False)
            if request.method != "PbmRetrieveServiceContent":
                self._authenticate(body)
            rule = trouble.match(request.method, set())
            if rule is not None:
                trouble.delay(rule)
                if (error := rule.error()) is not None:
                    raise error
            method = getattr(self, request.method, None)
            if method is None:
                raise vmodl.fault.NotSupported(msg=f"{request.method} is not simulated")
            with self.vcenter.lock:
                value = method(**request.arguments)
            kind = request.info.result
            return soap_codec.response(
                request.method, soap_codec.element("returnval", value, version, kind, NS, _LOWEST), NS
            )
        except vmodl.MethodFault as error:
            return soap_codec.fault(error, VmomiSupport.versionMap["vim25/7.0.3.0"])

    def _authenticate(self, body: bytes) -> None:
        found = _COOKIE.search(body)
        if self.vcenter.sessions.current(found[1].decode() if found else None) is None:
            # unconfirmed: the class
            raise vmodl.fault.SecurityError(msg="The session is not authenticated.")

    def PbmRetrieveServiceContent(self) -> Any:  # noqa: D102
        return pbm.ServiceInstanceContent(**_MANAGERS)

    def PbmQueryProfile(self, resourceType: Any, profileCategory: str | None = None) -> Any:  # noqa: D102
        del resourceType, profileCategory
        return _ids(self.policies.values())

    def PbmRetrieveContent(self, profileIds: list[Any]) -> Any:  # noqa: D102
        storage = pbm.profile.ResourceType(resourceType="STORAGE")
        found = [
            pbm.profile.CapabilityBasedProfile(
                profileId=item, name=self.name_of(item.uniqueId), creationTime=_MADE, createdBy="lab",
                lastUpdatedTime=_MADE, lastUpdatedBy="lab", profileCategory="REQUIREMENT", resourceType=storage,
                isDefault=False,  # its constraints are left out: nobody here reads them
            )
            for item in profileIds
        ]  # fmt: skip
        return VmomiSupport.GetVmodlType("pbm.profile.Profile[]")(found)

    def PbmQueryAssociatedProfiles(self, entities: list[Any]) -> Any:  # noqa: D102
        found = [pbm.profile.QueryProfileResult(object=item, profileId=_ids(self._of(item))) for item in entities]
        return VmomiSupport.GetVmodlType("pbm.profile.QueryProfileResult[]")(found)

    def _of(self, item: Any) -> list[str]:
        """Return the id of the policy of a VM's home ("virtualMachine") or disk ("virtualDiskId", "vm-7:2000")."""
        moid, _, disk = item.key.partition(":")
        vm: Any = self.vcenter.registry.find(moid)
        wanted = disk if item.objectType == "virtualDiskId" else "home"
        return [self.know(name) for where, name in vm.traits.policies if where == wanted] if vm is not None else []


def assigned(vcenter: Any, own: tuple[tuple[str, str], ...], spec: vim.vm.ConfigSpec) -> tuple[tuple[str, str], ...]:
    """Return the policies of a VM that has its *own*, after the reconfigure *spec*."""
    given = {"home": spec.vmProfile} | {str(item.device.key): item.profile for item in spec.deviceChange or ()}
    found = dict(own)
    for where, profiles in given.items():
        for profile in profiles or ():
            found[where] = vcenter.pbm.name_of(profile.profileId)
    return tuple(found.items())


def _ids(keys: Any) -> Any:
    return VmomiSupport.GetVmodlType("pbm.profile.ProfileId[]")([pbm.profile.ProfileId(uniqueId=key) for key in keys])
