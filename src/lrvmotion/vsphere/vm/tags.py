"""Tags over the REST API of vCenter 7.0 Update 2 and later: what there is, what is attached to VMs, attach one."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from http.client import HTTPException, HTTPSConnection
from typing import Any, TypeVar
from urllib.parse import quote

from lrvmotion.errors import LrvmotionError, RefusedError, TrustError, UnreachableError
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.vm.vm_address import VM
from lrvmotion.run.credentials import hidden, hide
from lrvmotion.vsphere.certificate import NotTrustedError, distrust
from lrvmotion.vsphere.session import Session

T = TypeVar("T")
ANSWER_S = 30.0
_TAGGING = "/api/cis/tagging"
# "Restricted for VMware internal use only" (API reference 6.5-7.0 U1, Tagging Batch): all names in a call each, under
# /rest alone. Where a vCenter refuses it, they are asked for one by one.
_BATCH = "/rest/com/vmware/cis/tagging/batch?~action=get-all-"
_TAGS_AT_ONCE = 2000  # VMware's papers on tagging advise no more in a call


class Tagging:
    """The tags of one vCenter, over a login and a connection of its own; close it.

    The login is made at the first call, and a refused one is not tried again: the account might be locked. Names are
    kept: a tag that was found is not asked for again.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._where = f"{session.site}: tags"
        self._connection: HTTPSConnection | None = None
        self._token: str | None = None
        self._refused: LrvmotionError | None = None
        self._categories: dict[str, str] = {}  # id: name
        self._tags: dict[str, tuple[str, str]] = {}  # id: category's id, name

    def of(self, ref: MoRef) -> list[tuple[str, str]]:
        """Return the (category, tag) of what is attached to *ref*; raises LrvmotionError."""
        body = {"object_id": {"id": ref.value, "type": ref.kind}}
        attached = self._call("POST", "/tag-association?action=list-attached-tags", body)
        return sorted(self._names(str(tag)) for tag in attached)

    def names(self) -> dict[str, tuple[str, str]]:
        """Return the (category, name) of all tags, by their ids; raises LrvmotionError."""
        if not self._read_all():
            for key in self._shaped(lambda keys: [str(one) for one in keys], self._call("GET", "/tag")):
                self._names(key)
        return {key: (self._categories[of], name) for key, (of, name) in self._tags.items()}

    def vms(self, tags: Sequence[str]) -> dict[str, list[str]]:
        """Return which of *tags*, by their ids, each VM has, by the id of its reference; raises LrvmotionError."""
        found: dict[str, list[str]] = {}
        for start in range(0, len(tags), _TAGS_AT_ONCE):
            body = {"tag_ids": list(tags[start : start + _TAGS_AT_ONCE])}
            answer = self._call("POST", "/tag-association?action=list-attached-objects-on-tags", body)
            for key, kind, ref in self._shaped(_attached, answer):
                if kind == VM:
                    found.setdefault(ref, []).append(key)
        return found

    def find(self, category: str, tag: str) -> str | None:
        """Return the id of the *tag* in the *category*, None where there is none; raises LrvmotionError."""
        if (known := self._known(category, tag)) is not None:
            return known
        for key in map(str, self._call("GET", "/category")):
            if self._category(key) == category:
                for found in self._call("POST", "/tag?action=list-tags-for-category", {"category_id": key}):
                    self._names(str(found))
        return self._known(category, tag)

    def attach(self, tag: str, ref: MoRef) -> None:
        """Attach the tag with this id to *ref*; no error where it is attached. Raises LrvmotionError."""
        body = {"object_id": {"id": ref.value, "type": ref.kind}}
        self._call("POST", f"/tag-association/{quote(tag, safe=':')}?action=attach", body)

    def close(self) -> None:
        """Log out; never raises."""
        if self._token is not None:
            with suppress(OSError, HTTPException):
                self._exchange("DELETE", "/api/session", None, {"vmware-api-session-id": self._token})
            self._token = None
        self._drop()

    def _read_all(self) -> bool:
        """Read the names of all categories and tags in a call each; whether this vCenter answers that."""
        try:
            categories = self._call("POST", "categories", {}, base=_BATCH)
            tags = self._call("POST", "tags", {}, base=_BATCH)
        except RefusedError:
            if self._refused is not None:
                raise
            return False
        for key, name in self._shaped(partial(_rows, fields=("name",)), categories):
            self._categories[key] = name
        for key, of, name in self._shaped(partial(_rows, fields=("category_id", "name")), tags):
            self._categories.setdefault(of, "")  # the account may not read it
            self._tags[key] = of, name
        return True

    def _shaped(self, read: Callable[[Any], T], answer: Any) -> T:  # noqa: ANN401 - any JSON
        """Return what *read* makes of *answer*; RefusedError where that has another form."""
        try:
            return read(answer)
        except (KeyError, TypeError, AttributeError):
            message = f"{self._where}: the answer has another form than the API's"
            raise RefusedError(message) from None

    def _known(self, category: str, tag: str) -> str | None:
        wanted = (category, tag)
        return next((key for key, (of, name) in self._tags.items() if (self._categories[of], name) == wanted), None)

    def _names(self, key: str) -> tuple[str, str]:
        if key not in self._tags:
            found = self._call("GET", f"/tag/{quote(key, safe=':')}")
            self._category(str(found["category_id"]))
            self._tags[key] = (str(found["category_id"]), str(found["name"]))
        category, name = self._tags[key]
        return self._categories[category], name

    def _category(self, key: str) -> str:
        if key not in self._categories:
            self._categories[key] = str(self._call("GET", f"/category/{quote(key, safe=':')}")["name"])
        return self._categories[key]

    def _call(self, verb: str, path: str, body: dict[str, Any] | None = None, *, base: str = _TAGGING) -> Any:  # noqa: ANN401 - any JSON
        """Return the answer; every call of ours may be made twice, so a session or connection that ended is renewed."""
        if self._refused is not None:
            raise self._refused
        try:
            status, answer = self._asked(verb, base + path, body)
            if status == 401:
                self._token = None
                status, answer = self._asked(verb, base + path, body)
        except NotTrustedError as error:
            found = distrust(error)
            self._refused = TrustError(f"{self._where}: {found.message}", hint=found.hint)
            raise self._refused from None
        except (OSError, HTTPException) as error:
            message = f"{self._where}: no answer from the vCenter: {hidden(str(error)) or type(error).__name__}"
            raise UnreachableError(message) from None
        if status in {200, 201, 204}:
            return _parsed(answer, self._where)
        raise RefusedError(f"{self._where}: {_reason(status, answer)}")  # noqa: EM102

    def _asked(self, verb: str, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        if self._token is None:
            self._token = self._login()
        headers = {"vmware-api-session-id": self._token, "Content-Type": "application/json"}
        if path.startswith("/rest/"):
            headers["Cookie"] = f"vmware-api-session-id={self._token}"  # where the token of /api is taken there
        return self._patient(verb, path, None if body is None else json.dumps(body).encode(), headers)

    def _login(self) -> str:
        credential = self._session.credential()
        pair = f"{credential.username}:{credential.password}".encode()
        credential.password = ""
        basic = base64.b64encode(pair).decode()
        hide(basic)
        headers = {"Authorization": f"Basic {basic}"}
        status, answer = self._patient("POST", "/api/session", None, headers)
        if status in {200, 201}:
            token = str(_parsed(answer, self._where))
            hide(token)
            return token
        if status == 404:
            message = f"{self._where}: this vCenter has no /api/session, which came with 7.0 Update 2"
            self._refused = RefusedError(message)
        else:
            message = f"{self._where}: the REST API refused the login: {_reason(status, answer)}"
            self._refused = TrustError(message, hint="it is not tried again, so that the account is not locked")
        raise self._refused

    def _patient(self, verb: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """Exchange; a kept connection may have been closed by now: then over a fresh one."""
        kept = self._connection is not None
        try:
            return self._exchange(verb, path, body, headers)
        except (OSError, HTTPException):
            self._drop()
            if not kept:
                raise
        try:
            return self._exchange(verb, path, body, headers)
        except (OSError, HTTPException):
            self._drop()
            raise

    def _exchange(self, verb: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        if self._connection is None:
            host, port, context = self._session.host, self._session.port, self._session.tls
            self._connection = HTTPSConnection(host, port, timeout=ANSWER_S, context=context)
        self._connection.request(verb, path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _parsed(answer: bytes, where: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(answer) if answer else None
    except ValueError:
        message = f"{where}: the answer is not JSON"
        raise RefusedError(message) from None


def _rows(answer: Any, fields: Sequence[str]) -> list[tuple[str, ...]]:  # noqa: ANN401 - any JSON
    """Return the id and *fields* of each row of a batch, which stands in "value" under /rest."""
    return [(str(row["id"]), *(str(row[field]) for field in fields)) for row in answer["value"]]


def _attached(answer: Any) -> list[tuple[str, str, str]]:  # noqa: ANN401 - any JSON
    """Return the (tag, kind, id) of everything that has one of the tags that were asked for."""
    return [(str(row["tag_id"]), str(one["type"]), str(one["id"])) for row in answer for one in row["object_ids"]]


def _reason(status: int, answer: bytes) -> str:
    """Return the API's own words, or the HTTP status where there are none."""
    try:
        said = json.loads(answer)
        texts = [str(message["default_message"]) for message in said.get("messages") or ()]
        return "; ".join(texts) or str(said["error_type"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"HTTP {status}"
