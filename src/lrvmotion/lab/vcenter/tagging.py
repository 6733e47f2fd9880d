"""The REST side of a vCenter: /api/session and /api/cis/tagging, with the JSON of the vSphere 7.0 Automation API.

Under /rest there is what /api has not: tagging/batch, "restricted for VMware internal use only" (API reference 6.5-7.0
U1, Tagging Batch), with its answer in "value".
"""

# ruff: noqa: ANN401
from __future__ import annotations

import base64
import binascii
import json
import secrets
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Vcenter

IDLE_S = 300.0  # a session's life without use, the default of the API's endpoint
_TAGGING = "/api/cis/tagging/"
_BATCH = "/rest/com/vmware/cis/tagging/batch"


class RestError(Exception):
    """An answer that is not a success: the HTTP *status*, and the API's *kind* of error."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "error_type": kind,
            "messages": [{"id": f"lab.{kind.lower()}", "default_message": message, "args": []}],
        }


@dataclass(slots=True, kw_only=True)
class Category:
    """A category and the ids of its tags, by name."""

    id: str
    name: str
    cardinality: str
    tags: dict[str, str]


class Rest:
    """What the REST side keeps: sessions, categories, tags. What a VM has is in its traits."""

    def __init__(self, vcenter: Vcenter) -> None:
        self.vcenter = vcenter
        self.idle_s = IDLE_S
        self.sessions: dict[str, float] = {}
        self.categories: dict[str, Category] = {}

    def know(self, name: str, tags: list[str], cardinality: str = "MULTIPLE") -> None:
        """Let there be a category *name* with *tags*."""
        found = next((item for item in self.categories.values() if item.name == name), None)
        if found is None:
            key = f"urn:vmomi:InventoryServiceCategory:{uuid.uuid4()}:GLOBAL"
            found = self.categories[key] = Category(id=key, name=name, cardinality=cardinality, tags={})
        found.cardinality = cardinality
        for tag in tags:
            found.tags.setdefault(tag, f"urn:vmomi:InventoryServiceTag:{uuid.uuid4()}:GLOBAL")

    def answer(self, verb: str, target: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        """Return the status and body of one call."""
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        try:
            with self.vcenter.lock:
                if path == "/api/session":
                    status, value = self._session(verb, headers)
                else:
                    self._authenticate(headers)
                    action = query.get("~action" if path == _BATCH else "action", [""])[0]
                    self.vcenter.trouble.record(f"tagging.{action or verb}", writes=action.startswith("attach"))
                    self._trouble(action or verb)
                    sent = json.loads(body) if body else {}
                    if path == _BATCH:
                        return 200, json.dumps({"value": self._batch(verb, action)}).encode()
                    status, value = self._tagging(verb, path.removeprefix(_TAGGING), action, sent)
        except RestError as error:
            status, value = error.status, error.body
        except (KeyError, ValueError, TypeError) as error:
            status, value = 400, RestError(400, "INVALID_ARGUMENT", f"{type(error).__name__}: {error}").body
        return status, b"" if value is None else json.dumps(value).encode()

    def _session(self, verb: str, headers: Any) -> tuple[int, Any]:
        if verb == "POST":
            scheme, _, encoded = headers.get("Authorization", "").partition(" ")
            try:
                name, _, password = base64.b64decode(encoded).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                name = password = ""
            site = self.vcenter.site
            self.vcenter.trouble.record("session.POST", writes=False)
            if scheme != "Basic" or (name, password) != (site.username, site.password):
                raise RestError(401, "UNAUTHENTICATED", "Authentication required.")
            key = secrets.token_hex(16)
            self.sessions[key] = time.monotonic()
            return 201, key
        key = self._authenticate(headers)
        if verb == "DELETE":
            del self.sessions[key]
            return 204, None
        raise RestError(404, "NOT_FOUND", "Not simulated.")

    def _authenticate(self, headers: Any) -> str:
        key = headers.get("vmware-api-session-id", "")
        if key not in self.sessions or time.monotonic() - self.sessions[key] > self.idle_s:
            self.sessions.pop(key, None)
            raise RestError(401, "UNAUTHENTICATED", "This method requires authentication.")
        self.sessions[key] = time.monotonic()
        return str(key)

    def _trouble(self, action: str) -> None:
        """Fail as a rule for "tagging.ACTION" says: its delay, and its message as what the API does not allow."""
        rule = self.vcenter.trouble.match(f"tagging.{action}", set())
        if rule is not None:
            self.vcenter.trouble.delay(rule)
            raise RestError(403, "UNAUTHORIZED", rule.message or "Unable to authorize user")

    def _batch(self, verb: str, action: str) -> list[Any]:
        match verb, action:
            case "POST", "get-all-categories":
                return [self._category_info(item) for item in self.categories.values()]
            case "POST", "get-all-tags":
                return [self._tag_info(key) for item in self.categories.values() for key in item.tags.values()]
            case _:
                raise RestError(404, "NOT_FOUND", f"{verb} batch {action} is not simulated.")

    def _attached_objects(self, tags: list[str]) -> list[Any]:
        found: dict[str, list[Any]] = {}
        for key in tags:
            self._names(key)  # NotFound for one that there is not
            found[key] = []
        for vm in self.vcenter.registry.of_type("VirtualMachine"):
            for category, tag in vm.traits.tags:
                if (key := self._id(category, tag)) in found:
                    found[key].append({"id": vm.moid, "type": "VirtualMachine"})
        return [{"tag_id": key, "object_ids": objects} for key, objects in found.items()]

    def _tagging(self, verb: str, path: str, action: str, sent: dict[str, Any]) -> tuple[int, Any]:
        kind, _, key = path.partition("/")
        key = unquote(key)
        match verb, kind, action, bool(key):
            case "GET", "category", "", False:
                return 200, list(self.categories)
            case "GET", "category", "", True:
                return 200, self._category_info(self._category(key))
            case "GET", "tag", "", False:
                return 200, [tag for item in self.categories.values() for tag in item.tags.values()]
            case "GET", "tag", "", True:
                return 200, self._tag_info(key)
            case "POST", "tag", "list-tags-for-category", False:
                return 200, list(self._category(sent["category_id"]).tags.values())
            case "POST", "tag-association", "list-attached-tags", False:
                vm = self._object(sent["object_id"])
                return 200, [self._id(category, tag) for category, tag in vm.traits.tags]
            case "POST", "tag-association", "list-attached-objects-on-tags", False:
                return 200, self._attached_objects(sent["tag_ids"])
            case "POST", "tag-association", "attach", True:
                self._attach(key, self._object(sent["object_id"]))
                return 204, None
            case _:
                raise RestError(404, "NOT_FOUND", f"{verb} {path} {action} is not simulated.")

    def _attach(self, key: str, vm: Any) -> None:
        category, tag = self._names(key)
        own = vm.traits.tags
        if (category.name, tag) in own:
            return  # "a no-op" (API reference of attach)
        if category.cardinality == "SINGLE" and any(name == category.name for name, _ in own):
            # unconfirmed: the type of error; the reference says "not eligible to be attached"
            raise RestError(400, "INVALID_ARGUMENT", "The tag is not eligible to be attached to this object.")
        vm.traits = replace(vm.traits, tags=(*own, (category.name, tag)))
        vm.touch()

    def _category_info(self, item: Category) -> dict[str, Any]:
        return {
            "id": item.id, "name": item.name, "description": "", "cardinality": item.cardinality,
            "associable_types": [], "used_by": [],
        }  # fmt: skip

    def _tag_info(self, key: str) -> dict[str, Any]:
        category, tag = self._names(key)
        return {"id": key, "category_id": category.id, "name": tag, "description": "", "used_by": []}

    def _category(self, key: str) -> Category:
        if key not in self.categories:
            raise RestError(404, "NOT_FOUND", f"Category with id {key} was not found.")
        return self.categories[key]

    def _names(self, key: str) -> tuple[Category, str]:
        for item in self.categories.values():
            for name, number in item.tags.items():
                if number == key:
                    return item, name
        raise RestError(404, "NOT_FOUND", f"Tag with id {key} was not found.")

    def _id(self, category: str, tag: str) -> str:
        self.know(
            category, [tag], next((i.cardinality for i in self.categories.values() if i.name == category), "MULTIPLE")
        )
        return next(item.tags[tag] for item in self.categories.values() if item.name == category)

    def _object(self, sent: dict[str, str]) -> Any:
        found = self.vcenter.registry.find(sent["id"])
        if found is None or found.wsdl != sent["type"] or found.wsdl != "VirtualMachine":
            raise RestError(404, "NOT_FOUND", f"The object {sent['type']}:{sent['id']} was not found.")
        return found
