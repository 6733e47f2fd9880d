"""Change, Migration, Plan: what would be done, as data; the diff of actual and desired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lrvmotion.findings import Finding, errors
from lrvmotion.forecast.estimate import Forecast
from lrvmotion.model.inventory import MoRef, natural
from lrvmotion.model.mode import Mode
from lrvmotion.model.placement import Placement
from lrvmotion.model.setting import ABSENT, SettingKey, Value
from lrvmotion.model.target_id import TargetId

Wanted = tuple[SettingKey, Value, str]  # a setting, the value that it is to have, the reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One setting of one target, from *prior* to *planned*, and why.

    *target* is "source/HOST", "target/HOST" or "relay/NAME"; *key* has a kind and a name ("option/Migrate.Enabled",
    "vmknic/10.88.0.20"). *reboot*: takes effect only after the host's next reboot.
    """

    target: TargetId
    key: SettingKey
    prior: Value
    planned: Value
    reason: str
    reboot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """A setting that *run* set to *ours* over *prior*, and somebody else to *now*: it stays so, and is not planned."""

    target: TargetId
    key: SettingKey
    prior: Value
    ours: Value
    now: Value
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A setting that is wanted and not changed, and why."""

    target: TargetId
    key: SettingKey
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One VM and where it goes. *hot_bytes* travel on vMotion (TCP 8000), *cold_bytes* by NFC (TCP 902).

    *wave* and *after* (names of VMs) are when its turn comes (waves.Turn); *source_datastores*, *source_home*
    (the datastore of its home) and *source_folder* are where it comes from, each as it can be typed there;
    *source_cluster* is the cluster of *source_host* ("moref:…"): another of its hosts may take the VM back.
    *vmotion_networks* are the port groups that it moves over ("source/…").
    """

    vm: str
    ref: MoRef
    instance_uuid: str
    source_host: str
    placement: Placement
    hot_bytes: int
    cold_bytes: int
    power_state: str
    snapshots: int
    change_version: str = ""
    wave: int = 1
    depends_on: tuple[str, ...] = ()
    source_datastores: tuple[str, ...] = ()
    source_folder: str = ""
    source_home: str = ""
    source_cluster: str = ""
    vmotion_networks: tuple[str, ...] = ()

    @property
    def source(self) -> TargetId:
        """The host that it leaves."""
        return TargetId.host("source", self.source_host)

    @property
    def target(self) -> TargetId:
        """The host that it goes to."""
        return TargetId.host("target", self.placement.host.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One pair of vmknics that a probe walks; *new*: the source vmknic exists only once the plan is applied."""

    source_host: str
    source_address: str
    netstack: str
    target_host: str
    target_address: str
    new: bool = False

    @property
    def source(self) -> TargetId:
        """The host that pings."""
        return TargetId.host("source", self.source_host)

    @property
    def target(self) -> TargetId:
        """The host that is pinged."""
        return TargetId.host("target", self.target_host)

    @property
    def ends(self) -> tuple[str, str]:
        """Both vmknics in words: "source/esx-a1 10.88.0.9", "target/esx-b1 10.99.0.9"."""
        return f"{self.source} {self.source_address}", f"{self.target} {self.target_address}"

    def __str__(self) -> str:
        return f"{self.source_host} {self.source_address} -> {self.target_host} {self.target_address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPath:
    """Which vmknics ("vmk1 10.88.0.9", "new 10.88.0.20") carry vMotion and NFC between two hosts.

    *relay* is the near relay that vMotion goes through.
    """

    source_host: str
    target_host: str
    vmotion_from: tuple[str, ...]
    vmotion_to: tuple[str, ...]
    nfc_from: tuple[str, ...]
    nfc_to: tuple[str, ...]
    relay: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a run would do, and what blocks it.

    *owner_id* is the id that what we create carries: the run's own, or that of the run whose settings are outstanding.
    *paths* are measured before anything is changed, *proof_paths* walked before the first move; *new_vmknics* are
    addresses of new vmknics, each with its host; *relays* are the near relays, *far* the far one, by name;
    *relay_by_host* is which near relay carries which source host (host, relay);
    *streams* and *vmknics* are a migration's at the source; *data_paths* say which vmknics carry the bytes;
    *forecast* how fast each mode would be and how long the VMs take. *theirs* are outstanding settings that somebody
    else has changed: they are left alone. *refused* are the errors of VMs that --skip-refused left out.
    *eject*: what the VMs' drives hold is ejected before each move.
    """

    run: str
    owner_id: str
    mode: Mode
    changes: tuple[Change, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    migrations: tuple[Migration, ...] = ()
    findings: tuple[Finding, ...] = ()
    paths: tuple[Path, ...] = ()
    proof_paths: tuple[Path, ...] = ()
    new_vmknics: tuple[tuple[TargetId, str], ...] = ()
    relays: tuple[str, ...] = ()
    far: str | None = None
    relay_by_host: tuple[tuple[str, str], ...] = ()
    streams: int = 1
    vmknics: int = 1
    data_paths: tuple[DataPath, ...] = ()
    forecast: Forecast | None = None
    theirs: tuple[Theirs, ...] = ()
    refused: tuple[Finding, ...] = ()
    eject: bool = False

    @property
    def refused_vms(self) -> tuple[str, ...]:
        """The VMs that were chosen and left out."""
        return tuple(dict.fromkeys(finding.subject.removeprefix("vm/") for finding in self.refused))

    @property
    def applyable(self) -> bool:
        """Whether no finding is an error."""
        return not errors(list(self.findings))


def diff(
    target: TargetId,
    actual: Mapping[SettingKey, Value],
    desired: Iterable[Wanted],
    *,
    reboot: frozenset[SettingKey] = frozenset(),
) -> list[Change]:
    """Return a change for every *desired* setting that is not what *actual* says, in the given order."""
    return [
        Change(
            target=target,
            key=key,
            prior=actual.get(key, ABSENT),
            planned=planned,
            reason=reason,
            reboot=key in reboot,
        )
        for key, planned, reason in desired
        if actual.get(key, ABSENT) != planned
    ]


def reboots(changes: Iterable[Change]) -> tuple[TargetId, ...]:
    """Return the hosts whose *changes* need a reboot, as they are rebooted: the target's first, by number."""
    hosts = {change.target for change in changes if change.reboot}
    return tuple(sorted(hosts, key=lambda host: (host.site != "target", natural(host))))
