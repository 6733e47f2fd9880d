"""PropertyCollector: reads many properties in one call, in pages, and waits for changes."""

# ruff: noqa: ANN401, N803 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vim, vmodl

from lrvmotion.lab.vcenter import traversal
from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values
from lrvmotion.lab.vcenter.property_filter import Paths, PropertyFilter
from lrvmotion.lab.vcenter.soap_codec import RawXml
from lrvmotion.lab.vcenter.vcenter import unlocked

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call, Vcenter

_NO_LIMIT = 1 << 30


class _Watch:
    """How far one session has come with one collector."""

    def __init__(self) -> None:
        self.version = 0
        self.previous: tuple[str, str] | None = None
        self.cancelled = 0


class PropertyCollector(ManagedObject):
    """The default collector (shared moId, filters of each session its own) or one that a session made (*owner*)."""

    wsdl = "PropertyCollector"
    values: ClassVar[Values] = {"filter": lambda self: list(self.filters.values())}
    __slots__ = ("filters", "owner", "pages", "watches")

    def __init__(self, vcenter: Vcenter, moid: str, owner: str | None = None) -> None:
        super().__init__(vcenter, moid)
        self.owner = owner
        self.filters: dict[str, PropertyFilter] = {}
        self.watches: dict[str, _Watch] = {}
        self.pages: dict[str, tuple[str, list[ManagedObject], Paths, int]] = {}

    def drop_session(self, key: str) -> None:
        """Forget what belonged to the session *key*."""
        for item in [item for item in self.filters.values() if item.owner == key]:
            self.filters.pop(item.moid)
            self.vcenter.registry.remove(item)
        self.watches.pop(key, None)
        self.pages = {token: page for token, page in self.pages.items() if page[0] != key}
        if self.owner == key:
            self.vcenter.registry.remove(self)

    def RetrievePropertiesEx(self, call: Call, specSet: list[Any], options: Any) -> Any:
        """Return a RetrieveResult, with a token where more is left than options.maxObjects."""
        limit = (options and options.maxObjects) or _NO_LIMIT
        work = []
        for spec in specSet:
            traversal.check(spec)
            work.append((traversal.select(self.vcenter.registry, spec), Paths(spec, call.version)))
        if len(work) == 1:
            return self._page(call, work[0][0], work[0][1], limit)
        parts = [f"<objects>{p.content(i)}</objects>" for items, p in work for i in items]
        return RawXml(f"<returnval>{''.join(parts)}</returnval>") if parts else None

    def _page(self, call: Call, items: list[ManagedObject], paths: Paths, limit: int) -> Any:
        if not items:
            return None
        parts = [f"<objects>{paths.content(item)}</objects>" for item in items[:limit]]
        token = ""
        if items[limit:]:
            key = secrets.token_hex(8)
            self.pages[key] = (call.session.key, items[limit:], paths, limit)
            token = f"<token>{key}</token>"
        return RawXml(f"<returnval>{token}{''.join(parts)}</returnval>")

    def ContinueRetrievePropertiesEx(self, call: Call, token: str) -> Any:
        """Return the next page; InvalidArgument for a token that is not of this session or used up."""
        page = self.pages.pop(token, None)
        if page is None or page[0] != call.session.key:
            raise vmodl.fault.InvalidArgument(
                invalidProperty="token", msg="A specified parameter was not correct: token"
            )
        live = [item for item in page[1] if self.vcenter.registry.find(item.moid) is item]
        return self._page(call, live, page[2], page[3]) or RawXml("<returnval></returnval>")

    def CancelRetrievePropertiesEx(self, call: Call, token: str) -> None:
        """Drop the pages that are left."""
        del call
        if self.pages.pop(token, None) is None:
            raise vmodl.fault.InvalidArgument(
                invalidProperty="token", msg="A specified parameter was not correct: token"
            )

    def RetrieveProperties(self, call: Call, specSet: list[Any]) -> Any:
        """Return everything at once, the call of API 2.5."""
        parts: list[str] = []
        for spec in specSet:
            traversal.check(spec)
            paths = Paths(spec, call.version)
            chosen = traversal.select(self.vcenter.registry, spec)
            parts += [f"<returnval>{paths.content(item)}</returnval>" for item in chosen]
        return RawXml("".join(parts))

    def CreateFilter(self, call: Call, spec: Any, partialUpdates: bool) -> Any:
        """Return a new filter."""
        traversal.check(spec)
        traversal.select(self.vcenter.registry, spec)
        key = call.session.key
        moid = f"session[{key[:8]}]{secrets.token_hex(8)}"
        made = PropertyFilter(self.vcenter, moid, spec, partialUpdates, key, self.filters)
        self.filters[moid] = made
        self.vcenter.registry.add(made)
        return made

    def CreatePropertyCollector(self, call: Call) -> Any:
        """Return a collector whose filters and versions are its own."""
        key = call.session.key
        made = PropertyCollector(self.vcenter, f"session[{key[:8]}]{secrets.token_hex(8)}", key)
        self.vcenter.registry.add(made)
        return made

    def DestroyPropertyCollector(self, call: Call) -> None:
        """End a collector that a session made."""
        self.drop_session(call.session.key)
        self.vcenter.registry.remove(self)

    def CancelWaitForUpdates(self, call: Call) -> None:
        """Let a waiting WaitForUpdatesEx of this session end in RequestCanceled."""
        self._watch(call).cancelled += 1
        self.touch()

    def _watch(self, call: Call) -> _Watch:
        return self.watches.setdefault(call.session.key, _Watch())

    @unlocked
    def WaitForUpdatesEx(self, call: Call, version: str | None, options: Any) -> Any:
        """Return what changed since *version*; None at maxWaitSeconds."""
        seconds = options.maxWaitSeconds if options else None
        room = (options and options.maxObjectUpdates) or _NO_LIMIT
        vcenter = self.vcenter
        with vcenter.lock:
            vcenter.waiting += 1
            vcenter.most_waiting = max(vcenter.most_waiting, vcenter.waiting)
        try:
            return self._wait(call, version or "", seconds, room)
        finally:
            with vcenter.lock:
                vcenter.waiting -= 1

    @unlocked
    def WaitForUpdates(self, call: Call, version: str | None) -> Any:
        """Wait without limit, the call of API 2.5."""
        return self._wait(call, version or "", None, _NO_LIMIT)

    def CheckForUpdates(self, call: Call, version: str | None) -> Any:
        """Return what changed since *version*, None where nothing did."""
        return self._wait(call, version or "", 0, _NO_LIMIT)

    def _wait(self, call: Call, version: str, seconds: int | None, room: int) -> Any:
        end = None if seconds is None else time.monotonic() + seconds
        registry = self.vcenter.registry
        with registry.changed:
            watch = self._watch(call)
            cancelled = watch.cancelled
            mine = [item for item in self.filters.values() if item.owner == call.session.key]
            if version == "":
                for item in mine:
                    item.forget()
            elif watch.previous is not None and version == watch.previous[0]:
                return RawXml(watch.previous[1])  # the reply was lost: the same once more
            elif version != str(watch.version):
                raise vmodl.query.InvalidCollectorVersion(msg="The collector version is not known.")
            while True:
                xml = self._gather(call, watch, room, version)
                if xml is not None:
                    return xml
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return None
                registry.changed.wait(left)
                if call.session.key not in self.vcenter.sessions.sessions:
                    raise vim.fault.NotAuthenticated(
                        object=self.ref, privilegeId="System.View", msg="The session is not authenticated."
                    )
                if watch.cancelled != cancelled or registry.find(self.moid) is not self:
                    raise vmodl.fault.RequestCanceled(msg="The request was canceled by a user.")

    def _gather(self, call: Call, watch: _Watch, room: int, asked: str) -> RawXml | None:
        sets = []
        truncated = False
        for item in [item for item in self.filters.values() if item.owner == call.session.key]:
            objects, more = item.updates(call.version, room)
            room -= len(objects)
            truncated = truncated or more
            if objects:
                moid = f'<filter type="PropertyFilter">{item.moid}</filter>'
                sets.append(f"<filterSet>{moid}{''.join(objects)}</filterSet>")
        if not sets:
            return None
        watch.version += 1
        more_xml = "<truncated>true</truncated>" if truncated else ""
        head = f"<version>{watch.version}</version>"
        xml = RawXml(f"<returnval>{head}{''.join(sets)}{more_xml}</returnval>")
        watch.previous = (asked, xml) if asked else None
        return xml
