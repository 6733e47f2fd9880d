"""SessionManager: logins, sessions that expire."""

# ruff: noqa: ANN401, N803 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vim

from lrvmotion.lab.vcenter.clock import now
from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call, Vcenter

IDLE_S = 1800.0  # vCenter's default of 30 minutes


class Session:
    """One login."""

    def __init__(self, key: str, user: str, address: str, agent: str) -> None:
        self.key = key
        self.user = user
        self.address = address
        self.agent = agent
        self.login = now()
        self.active = now()
        self.used = time.monotonic()
        self.calls = 0
        self.busy = 0

    def data(self) -> Any:
        """Return the session as the API shows it."""
        return vim.UserSession(
            key=self.key,
            userName=self.user,
            fullName=self.user,
            loginTime=self.login,
            lastActiveTime=self.active,
            locale="en",
            messageLocale="en",
            extensionSession=False,
            ipAddress=self.address,
            userAgent=self.agent,
            callCount=self.calls,
        )


class SessionManager(ManagedObject):
    """The logins of this vCenter; *idle_s* is how long an unused one lives."""

    wsdl = "SessionManager"
    values: ClassVar[Values] = {
        "sessionList": lambda self: [s.data() for s in self.sessions.values()],
        "defaultLocale": lambda _: "en",
        "supportedLocaleList": lambda _: ["en"],
        "messageLocaleList": lambda _: ["en"],
    }
    __slots__ = ("idle_s", "sessions")

    def __init__(self, vcenter: Vcenter, moid: str) -> None:
        super().__init__(vcenter, moid)
        self.sessions: dict[str, Session] = {}
        self.idle_s = IDLE_S

    def current(self, cookie: str | None) -> Session | None:
        """Return the live session of *cookie* and count this use of it."""
        with self.vcenter.lock:
            session = self.sessions.get(cookie or "")
            if session is None:
                return None
            if time.monotonic() - session.used > self.idle_s:
                self.end(session.key)
                return None
            session.used = time.monotonic()
            session.active = now()
            session.calls += 1
            return session

    def end(self, key: str) -> None:
        """End a session and what it owned."""
        with self.vcenter.lock:
            self.sessions.pop(key, None)
            self.vcenter.content.drop_session(key)
            self.vcenter.registry.touch(self)

    def expire_all(self) -> int:
        """End every session, as a restart of vCenter does."""
        with self.vcenter.lock:
            keys = list(self.sessions)
            for key in keys:
                self.end(key)
            return len(keys)

    def Login(self, call: Call, userName: str, password: str, locale: str | None) -> Any:
        """Log in; InvalidLogin for a wrong name or password."""
        del locale
        site = self.vcenter.site
        if (userName, password) != (site.username, site.password):
            raise vim.fault.InvalidLogin(msg="Cannot complete login due to an incorrect user name or password.")
        key = secrets.token_hex(20)
        session = Session(key, userName, call.address, call.agent)
        self.sessions[key] = session
        call.new_cookie = key
        return session.data()

    def Logout(self, call: Call) -> None:
        """End the caller's session."""
        self.end(call.session.key)

    def TerminateSession(self, call: Call, sessionId: list[str]) -> None:
        """End other sessions; NotFound for one that is not there."""
        for key in sessionId:
            if key not in self.sessions:
                raise vim.fault.NotFound(msg="The object or item referred to could not be found.")
            if key != call.session.key:
                self.end(key)

    def SessionIsActive(self, call: Call, sessionID: str, userName: str) -> bool:
        """Say whether a session lives."""
        del call
        session = self.sessions.get(sessionID)
        return session is not None and session.user == userName
