"""The connections of one command, opened when first needed, from the configuration or from the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lrvmotion.config.schema import Config, Relay, Site
from lrvmotion.errors import TrustError, UsageError
from lrvmotion.events import Connected, Message, Observer
from lrvmotion.journal.records import Connection
from lrvmotion.model.inventory import Inventory
from lrvmotion.model.target_id import ConnectionId, SiteId, TargetId
from lrvmotion.ports.pinger import PingRequest, Pings
from lrvmotion.ports.target import Target
from lrvmotion.run.credentials import Credentials

if TYPE_CHECKING:
    from lrvmotion.model.relay.relay_host import BoxFacts
    from lrvmotion.relay.box import RelayBox
    from lrvmotion.ssh import SshShell
    from lrvmotion.vsphere.host.power import HostPower
    from lrvmotion.vsphere.host.target import HostTarget
    from lrvmotion.vsphere.session import Session
    from lrvmotion.vsphere.vcenter_target import VcenterTarget


Known = Mapping[ConnectionId, Connection]


def records(config: Config) -> dict[ConnectionId, Connection]:
    """Return the connections of *config*, by name: what the journal needs to reach everything again; never a secret."""
    sites = [_site(ConnectionId("source"), config.source), _site(ConnectionId("target"), config.target)]
    boxes = config.relay.every
    return {one.name: one for one in (*sites, *map(_box, boxes))}


def _site(name: ConnectionId, site: Site) -> Connection:
    return Connection(
        name=name, host=site.vcenter, port=site.port, username=site.username,
        password_file=str(site.password_file) if site.password_file else None, sha256=site.sha256,
        pem=None if site.certificate is None else _pem(name, site.certificate), service_url=site.service_url,
    )  # fmt: skip


def _pem(name: ConnectionId, file: Path) -> str:
    """Return the first certificate in *file*, in PEM form, without what else is in it: a comment in any encoding."""
    from lrvmotion.vsphere.certificate import Certificate

    try:
        return Certificate.from_pem(file.read_text(encoding="ascii", errors="replace")).pem
    except OSError as error:
        message = f"{file}: the certificate of {name} cannot be read: {error.strerror}"
        raise UsageError(
            message, hint=f"{name}.certificate names a file in PEM form; {name}.sha256 is enough, too"
        ) from None
    except TrustError as error:
        message = f"{file}: the certificate of {name} is not in PEM form"
        raise TrustError(message, hint=error.hint) from None


def _box(relay: Relay) -> Connection:
    return Connection(
        name=TargetId.relay(relay.name).connection, host=relay.host, port=relay.port, username=relay.user,
        key_file=str(relay.key_file) if relay.key_file else None,
        password_file=str(relay.password_file) if relay.password_file else None,
        host_key=relay.host_key, known_hosts=tuple(str(file) for file in relay.known_hosts),
    )  # fmt: skip


def all_known(config: Config | None, recorded: Known) -> Known:
    """Return the connections of *config*, and over them those *recorded* in the journal.

    What *config* pins for the same address wins: a certificate or host key that was renewed since is pinned there, and
    what the run changed could not be restored without it.
    """
    known = {} if config is None else records(config)
    now = {(name.is_relay, one.host, one.port): one for name, one in known.items()}
    pinned = {name: _pinned(one, now.get((name.is_relay, one.host, one.port))) for name, one in recorded.items()}
    return {**known, **pinned}


def _pinned(recorded: Connection, now: Connection | None) -> Connection:
    """Return *recorded* with the pins of *now*, all of them where there is any."""
    if now is None:
        return recorded
    if now.pem or now.sha256:
        return replace(recorded, pem=now.pem, sha256=now.sha256)
    if now.host_key or now.known_hosts:
        return replace(recorded, host_key=now.host_key, known_hosts=now.known_hosts)
    return recorded


class Connections:
    """Both vCenters and the relay hosts; a Target for every host and box. Close it, or use it as a context manager.

    *known* are the connections by name (changes.connections).
    """

    def __init__(self, known: Known, credentials: Credentials, observer: Observer) -> None:
        self._known = known
        self._credentials = credentials
        self._observer = observer
        self._sessions: dict[str, Session] = {}
        self._shells: dict[TargetId, SshShell] = {}
        self._inventories: dict[str, Inventory] = {}
        self._facts: dict[TargetId, BoxFacts] = {}
        self._targets: dict[TargetId, Target] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def observe(self, observer: Observer) -> None:
        """Tell *observer* from now on."""
        self._observer = observer

    def close(self) -> None:
        """Log out everywhere."""
        for session in self._sessions.values():
            session.close()
        for shell in self._shells.values():
            shell.close()
        self._sessions.clear()
        self._shells.clear()

    def session(self, site: SiteId) -> Session:
        """Return the session with the vCenter of *site*, logging in when first asked."""
        if site not in self._sessions:
            from lrvmotion.vsphere.session import Session

            known = self._connection(site)
            session = Session.open(
                site,
                known.host,
                known.port,
                known.username,
                lambda: self._password(site, known),
                pem=known.pem,
                sha256=known.sha256,
                service_url=known.service_url,
            )
            self._sessions[site] = session
            instance, recorded = str(session.about.instanceUuid), known.instance_uuid
            if recorded and recorded != instance:
                message = f"{site}: {known.address} is the vCenter {instance}, {recorded} was recorded"
                raise TrustError(message, hint="the address leads to another vCenter now: make it lead to that one")
            version = f"{session.about.version} build {session.about.build}"
            self._observer(Connected(site=site, address=known.address, version=version))
        return self._sessions[site]

    def pinned(self, name: SiteId) -> Connection:
        """Return the connection *name*: of a vCenter with its instance UUID and the certificate it showed."""
        known = self._connection(name)
        if (session := self._sessions.get(name)) is None:
            return known
        return replace(known, pem=session.pem, instance_uuid=str(session.about.instanceUuid))

    def identity(self, name: ConnectionId) -> Connection | None:
        """Return *pinned* of *name*, logging in at a vCenter for it; None where nothing is known of it."""
        if name not in self._known:
            return None
        if not name.is_relay:
            self.session(name)
        return self.pinned(name)

    def accounts(self) -> dict[str, str]:
        """Return with which account everything known is logged in to: "user at host", by its name."""
        return {name: known.account for name, known in self._known.items()}

    def inventory(self, site: SiteId) -> Inventory:
        """Return the names inventory of *site*, collected once."""
        if site not in self._inventories:
            from lrvmotion.vsphere.inventory.collect import collect_names

            self._inventories[site] = collect_names(self.session(site))
        return self._inventories[site]

    def forget(self) -> None:
        """Collect the inventories again when they are asked for next: a host that was away is back."""
        self._inventories.clear()

    def facts(self, name: TargetId) -> BoxFacts:
        """Return what the relay host *name* is and has, asked once; RefusedError where it does not say."""
        if name not in self._facts:
            from lrvmotion.relay.facts import facts

            self._facts[name] = facts(self.shell(name))
        return self._facts[name]

    def shell(self, name: TargetId) -> SshShell:
        """Return the shell on the relay host *name*, logging in when first asked."""
        if name not in self._shells:
            from lrvmotion.ssh import SshShell

            known = self._connection(name.connection)
            keyed = known.key_file and not known.password_file
            shell = SshShell.open(
                name,
                known.host,
                known.port,
                known.username,
                key_file=Path(known.key_file) if known.key_file else None,
                password=None if keyed else lambda: self._password(name.connection, known),
                host_key=known.host_key,
                known_hosts=tuple(Path(file) for file in known.known_hosts),
                warn=lambda text: self._observer(Message(text=text)),
            )
            try:
                shell.check_login()
            except BaseException:
                shell.close()
                raise
            self._shells[name] = shell
            self._observer(Connected(site=name, address=known.address, version="SSH"))
        return self._shells[name]

    def box(self, name: TargetId) -> RelayBox:
        """Return the relay host *name* as a target."""
        from lrvmotion.relay.box import RelayBox

        if name not in self._targets:
            self._targets[name] = RelayBox(name, self.shell(name))
        target = self._targets[name]
        if not isinstance(target, RelayBox):
            raise TypeError(name)
        return target

    def host(self, name: TargetId) -> HostTarget:
        """Return the host *name* as a target."""
        from lrvmotion.vsphere.host.target import HostTarget

        if name not in self._targets:
            site = name.connection
            host = self.inventory(site).host(name.name)
            self._targets[name] = HostTarget(self.session(site), site, host.ref, host.name)
        target = self._targets[name]
        if not isinstance(target, HostTarget):
            raise TypeError(name)
        return target

    def vcenter(self, site: SiteId) -> VcenterTarget:
        """Return the vCenter of *site* as the target of what it keeps of its VMs."""
        from lrvmotion.vsphere.vcenter_target import VcenterTarget

        name = TargetId.vcenter(site)
        if name not in self._targets:
            self._targets[name] = VcenterTarget(self.session(site), site)
        target = self._targets[name]
        if not isinstance(target, VcenterTarget):
            raise TypeError(name)
        return target

    def rebooter(self, name: TargetId) -> HostPower:
        """Return the host *name* as one that can be rebooted (reboot.Rebooter)."""
        return self.host(name).power

    def target(self, name: TargetId) -> Target:
        """Return the target *name*, a host's, a relay host's or a vCenter's."""
        if name.is_vcenter:
            return self.vcenter(name.connection)
        return self.box(name) if name.is_relay else self.host(name)

    def ping(self, target: TargetId, request: PingRequest) -> Pings:
        """Ping from a vmknic of *target* (ports.pinger.Pinger)."""
        from lrvmotion.vsphere.host.esxcli import ping

        host = self.host(target)
        device = host.device(request.source, request.netstack)
        return ping(self.session(target.connection), host.ref, device, request)

    def _password(self, name: SiteId, known: Connection) -> str:
        connection = ConnectionId(name)
        file = Path(known.password_file) if known.password_file else None
        usual = known.port == (22 if connection.is_relay else 443)
        host = known.host if usual else known.address
        # What only the journal leads to has a secret of its own: that of "source" is another vCenter's.
        secret = connection if connection.run else ConnectionId(known.secret or connection)
        return self._credentials.password(secret, known.username, host, file).reveal()

    def _connection(self, name: SiteId) -> Connection:
        known = self._known.get(ConnectionId(name))
        if known is None:
            message = f"nothing is known of {name}: neither the configuration nor the journal names it"
            raise UsageError(message, hint="name the configuration with --config")
        return known
