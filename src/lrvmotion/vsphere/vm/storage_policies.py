"""Storage policies over SPBM, vCenter's /pbm/sdk: what a VM's home and disks have, and give them one by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pyVmomi import SoapAdapter, VmomiSupport, pbm, vim

from lrvmotion.errors import RefusedError
from lrvmotion.model.inventory import MoRef
from lrvmotion.vsphere.client import mapped
from lrvmotion.vsphere.session import Session, cookie
from lrvmotion.vsphere.tasks import finish

ANSWER_S = 60.0
_VERSION = "pbm/2.0"  # known to every vCenter since 6.0, and all that is used here is older


class Policies:
    """The storage policies of one vCenter; close it. It goes by the login of *session*."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._where = f"{session.site}: storage policies"
        self._names: dict[str, str] = {}  # by id
        self._stub: Any = None
        self._logins = -1

    def of(self, ref: MoRef, disks: Sequence[int]) -> list[tuple[int | None, str]]:
        """Return (disk's device key, None for the VM's home; policy's name) where there is one; raises LrvmotionError.

        One call, and one more for names that are new.
        """
        server = str(self._session.about.instanceUuid)
        kind: Callable[..., pbm.ServerObjectRef] = pbm.ServerObjectRef
        asked = [kind(objectType="virtualMachine", key=ref.value, serverUuid=server)]
        asked += [kind(objectType="virtualDiskId", key=f"{ref.value}:{key}", serverUuid=server) for key in disks]
        with mapped(self._where):
            rows = self._manager().PbmQueryAssociatedProfiles(asked)
            ids = [(row.object.key, str(item.uniqueId)) for row in rows or () for item in row.profileId or ()]
            self._learn([number for _, number in ids])
        failed = [row for row in rows or () if row.fault is not None]
        if failed:
            message = f"{self._where}: not reported for {failed[0].object.key}"
            raise RefusedError(message)
        return [(_disk(key), self._names[number]) for key, number in ids if number in self._names]

    def find(self, name: str) -> str | None:
        """Return the id of the policy *name* for VMs, None where there is none; raises LrvmotionError."""
        if (known := self._known(name)) is None:
            with mapped(self._where):
                storage = pbm.profile.ResourceType(resourceType="STORAGE")
                found = self._manager().PbmQueryProfile(storage, "REQUIREMENT")
                self._learn([str(item.uniqueId) for item in found or ()])
            known = self._known(name)
        return known

    def close(self) -> None:
        """Close the connections; never raises."""
        if self._stub is not None:
            self._stub.DropConnections()
            self._stub = None

    def _known(self, name: str) -> str | None:
        return next((number for number, own in self._names.items() if own == name), None)

    def _learn(self, ids: Sequence[str]) -> None:
        new = [pbm.profile.ProfileId(uniqueId=number) for number in dict.fromkeys(ids) if number not in self._names]
        if new:
            for profile in self._manager().PbmRetrieveContent(new) or ():
                self._names[str(profile.profileId.uniqueId)] = str(profile.name)

    def _manager(self) -> pbm.profile.ProfileManager:
        """Return the ProfileManager, over a stub with the session's present cookie as its SOAP header.

        The header is the stub's own: pyVmomi's request context is the thread's, and would go to other vCenters too.
        """
        if self._stub is None or self._logins != self._session.logins:
            self.close()
            self._logins = self._session.logins
            self._stub = SoapAdapter.SoapStubAdapter(
                host=self._session.host,
                port=self._session.port,
                path="/pbm/sdk",
                version=VmomiSupport.versionMap[_VERSION],
                sslContext=self._session.tls,
                httpConnectionTimeout=ANSWER_S,
                requestContext={"vcSessionCookie": cookie(str(self._session.stub.cookie or ""))},
            )
        return pbm.profile.ProfileManager("ProfileManager", self._stub)


def assign(session: Session, vm: vim.VirtualMachine, device: vim.vm.device.VirtualDisk | None, policy: str) -> None:
    """Give the policy with this id to a disk (*device*), or to the VM's home where that is None."""
    subject = f"{session.site}: storage policy"
    profile: list[vim.vm.ProfileSpec] = [vim.vm.DefinedProfileSpec(profileId=policy)]
    spec = vim.vm.ConfigSpec()
    if device is None:
        spec.vmProfile = profile
    else:
        change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=device, profile=profile)
        spec.deviceChange = [change]
    task = session.call(subject, lambda: vm.ReconfigVM_Task(spec))
    finish(session, subject, task)


def _disk(key: str) -> int | None:
    number = key.partition(":")[2]
    return int(number) if number else None
