"""The configuration: TOML to Config, every mistake at once with its key and reason."""

from __future__ import annotations

import re
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from lrvmotion import files
from lrvmotion.config import time_zone as zones
from lrvmotion.config import validation_errors
from lrvmotion.config.address_pool import overlaps
from lrvmotion.config.field_types import (
    Address,
    Argv,
    File,
    Files,
    Fingerprint,
    Host,
    Limit,
    Line,
    Moment,
    Pool,
    Port,
    Rate,
    ServiceUrl,
    Webhook,
    Zone,
)
from lrvmotion.config.maintenance_window import Window, Windows, window
from lrvmotion.config.rate_schedule import Timetable
from lrvmotion.config.waves import levels
from lrvmotion.errors import UsageError
from lrvmotion.model.mode import ModeChoice, Steering


def password_variable(name: str) -> str:
    """Return the environment variable with the password of a site or relay host: LRVMOTION_RELAY_A_PASSWORD."""
    return f"LRVMOTION_{re.sub('[^A-Z0-9]', '_', name.upper())}_PASSWORD"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - whatever the file has there
        """True is not 1, as pydantic has it."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            message = f"{str(value).lower()} cannot be used here"
            raise ValueError(message)
        return value


class HostVmotion(_Section):
    """What one host has of its own."""

    addresses: Pool = ()


class Vmotion(_Section):
    """Addresses for new vMotion vmknics of a site; per host where a host has its own."""

    addresses: Pool = ()
    hosts: dict[str, HostVmotion] = {}


class Site(_Section):
    """A vCenter: where it is, who logs in, what certificate it must show."""

    vcenter: Host
    port: Port = 443
    username: Line
    password_file: File | None = None
    sha256: Fingerprint | None = None
    certificate: File | None = None
    service_url: ServiceUrl | None = None
    hosts: tuple[str, ...] = ()
    vmotion: Vmotion = Vmotion()


class Relay(_Section):
    """A relay host: how to log in to it, and its address on the vMotion network."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    host: Host
    port: Port = 22
    user: Line = "root"
    key_file: File | None = None
    password_file: File | None = None
    host_key: str | None = None
    known_hosts: Files = ()
    address: Address
    listen_port: Port = 9000
    open_firewall: bool = False


class FarRelay(Relay):
    """The box at the target site: with *forward* the near relays send through it, without it only measures."""

    forward: bool = False


CIRCUIT_SHARE = (
    0.95  # a cap a little below the circuit takes the queue away for everyone (measured: 3.5 to 0.5 % retransmitted)
)


class Relays(_Section):
    """The relay hosts of both sites; *limit* caps what a near relay sends, *circuit_rate* is the circuit's (bit/s).

    *limit* is a rate, or a timetable by the clock of *time_zone*.
    """

    source: tuple[Relay, ...] = ()
    target: FarRelay | None = None
    limit: Limit | None = None
    circuit_rate: Rate | None = None
    time_zone: Zone | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        """Two entries for one box would write over each other's files."""
        boxes = self.every
        kinds = {
            "name": [box.name for box in boxes],
            "host": [f"{box.host} port {box.port}" for box in boxes],
            "address": [box.address for box in boxes],
        }
        twice = [f"{kind} {one}" for kind, of in kinds.items() for one in dict.fromkeys(of) if of.count(one) > 1]
        if twice:
            message = f"two relay hosts have {', '.join(twice)}: each needs its own"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        """Two that take their password from one variable: one would be sent the other's."""
        owners = {password_variable(site): f"the {site} vCenter" for site in ("source", "target")}
        for box in [*self.source, *([self.target] if self.target is not None else [])]:
            variable = password_variable(box.name)
            if variable in owners:
                message = (
                    f"relay host {box.name} would take its password from {variable}, which is that of "
                    f"{owners[variable]}: give it another name"
                )
                raise ValueError(message)
            owners[variable] = f"relay host {box.name}"
        return self

    @property
    def cap_bps(self) -> int | None:
        """The cap that a near relay starts with; a timetable's lowest, so that one nobody leads is never above it."""
        return self._least(self.limit.lowest if isinstance(self.limit, Timetable) else self.limit)

    def cap_at(self, now: datetime) -> int | None:
        """Return the cap of a near relay at *now*, an aware datetime, bit/s."""
        timetable = self.timetable
        return self.cap_bps if timetable is None else self._least(timetable.cap(now))

    @property
    def timetable(self) -> Timetable | None:
        """The limit by the time of day, where it is one."""
        if not isinstance(self.limit, Timetable):
            return None
        return Timetable(self.limit.entries, zones.zone(self.time_zone or zones.local()))

    def _least(self, limit: int | None) -> int | None:
        """Return *limit*, or a relay's equal share of 95 % of the circuit, whichever is lower."""
        share = (
            None if self.circuit_rate is None else round(self.circuit_rate * CIRCUIT_SHARE / max(len(self.source), 1))
        )
        return min((cap for cap in (limit, share) if cap is not None), default=None)

    @property
    def far(self) -> FarRelay | None:
        """The far relay, where one is to forward."""
        return self.target if self.target is not None and self.target.forward else None

    @property
    def every(self) -> tuple[Relay, ...]:
        """The relay hosts, near and far."""
        return (*self.source, *(() if self.target is None else (self.target,)))

    @property
    def addresses(self) -> frozenset[str]:
        """The address of every relay host on its site's vMotion network."""
        return frozenset(str(relay.address) for relay in self.every)


class Mappings(_Section):
    """Source name to target name; what is not listed keeps its name."""

    networks: dict[str, str] = {}
    datastores: dict[str, str] = {}
    folders: dict[str, str] = {}
    pools: dict[str, str] = {}
    hosts: dict[str, str] = {}


class Limits(_Section):
    """What the path may be like, how much may go on at once, how long things may take; *loss* is a ratio 0-1.

    *max_concurrent* is over the whole circuit; unset, it follows from what was measured. *max_attempts* are of one
    VM's relocate, the second at least *retry_wait_s* seconds after the first. Before a reboot a host has
    *maintenance_wait_s* seconds to get empty, and then *reboot_wait_s* to come back. *guest_wait_s* is how long VMware
    Tools and the guest's address may take to be back after a move, *question_wait_s* how long a VM in mid-move may wait
    for an answer. *in_path_s* is how long hot bytes of a move may be on the way before its host is asked whether they
    go past the relay. *first_class_disks*: VMs that have such disks are moved.
    """

    rtt_ms: Annotated[float, Field(gt=0)] = 150.0
    loss: Annotated[float, Field(ge=0, le=1)] = 0.02
    probes: Annotated[int, Field(ge=1, le=2000)] = 20
    per_host: Annotated[int, Field(ge=1, le=2)] = 1
    per_datastore: Annotated[int, Field(ge=1, le=8)] = 8
    per_network: Annotated[int, Field(ge=1)] | None = None
    per_relay: Annotated[int, Field(ge=1)] | None = None
    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    max_failures: Annotated[int, Field(ge=0)] | None = None
    max_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    retry_wait_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    restore_wait_s: Annotated[float, Field(ge=0)] = 14_400.0
    maintenance_wait_s: Annotated[float, Field(gt=0)] = 7_200.0
    reboot_wait_s: Annotated[float, Field(gt=0)] = 900.0
    guest_wait_s: Annotated[float, Field(ge=0, le=3600)] = 120.0
    first_class_disks: bool = False
    question_wait_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    in_path_s: Annotated[float, Field(gt=0, le=3600)] = 120.0


class Settings(_Section):
    """The values that native and proxy mode set; a number here wins over the profile's."""

    profile: Literal["recommended", "field-report"] = "recommended"
    source_vmknics: Annotated[int, Field(ge=1, le=16)] = 5
    target_vmknics: Annotated[int, Field(ge=1, le=16)] = 2
    native_stream_helpers: Annotated[int, Field(ge=0, le=112)] = 48
    proxy_stream_helpers: Annotated[int, Field(ge=0, le=112)] = 5
    expected_line_rate_mbytes: Annotated[int, Field(ge=1, le=2000)] = 2000
    rx_dispatch_queues: Annotated[int, Field(ge=0, le=8)] = 5


class Wave(_Section):
    """VMs (names or patterns) that move together, once the waves that it *depends_on* have ended; unset: the last."""

    name: str
    vms: Annotated[tuple[str, ...], Field(min_length=1)]
    depends_on: tuple[str, ...] | None = None


class MaintenanceWindow(_Section):
    """When VMs may start to move: "22:00" to "06:00", on *days*, or two dates with times, which is once."""

    start: Moment
    end: Moment
    days: tuple[str, ...] = ()
    time_zone: Zone = "UTC"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _ = self.noun
        return self

    @property
    def noun(self) -> Window:
        """The window itself."""
        return window(self.start, self.end, self.days, zones.zone(self.time_zone))


HookPoint = Literal["before_run", "after_run", "before_wave", "after_wave", "before_vm", "after_vm"]


class HookCommands(_Section):
    """Commands to run at points of a run, each ended after *timeout_s*; where to tell it, and a file of metrics."""

    before_run: Argv | None = None
    after_run: Argv | None = None
    before_wave: Argv | None = None
    after_wave: Argv | None = None
    before_vm: Argv | None = None
    after_vm: Argv | None = None
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    webhook: Webhook | None = None
    metrics: File | None = None

    @property
    def commands(self) -> dict[HookPoint, tuple[str, ...]]:
        """The commands that there are, by point."""
        points: dict[HookPoint, tuple[str, ...] | None] = {
            "before_run": self.before_run, "after_run": self.after_run, "before_wave": self.before_wave,
            "after_wave": self.after_wave, "before_vm": self.before_vm, "after_vm": self.after_vm,
        }  # fmt: skip
        return {point: command for point, command in points.items() if command is not None}


class Config(_Section):
    """The whole configuration, frozen; *depends_on* are the VMs that have moved before a VM does."""

    time_zone: Zone = Field(default_factory=zones.local)
    source: Site
    target: Site
    relay: Relays = Relays()
    mappings: Mappings = Mappings()
    limits: Limits = Limits()
    settings: Settings = Settings()
    wave: tuple[Wave, ...] = ()
    depends_on: dict[str, tuple[str, ...]] = {}
    mode: ModeChoice | None = None
    steer: Steering = "route"
    state_dir: File | None = None
    window: tuple[MaintenanceWindow, ...] = ()
    hooks: HookCommands = HookCommands()

    @field_validator("wave")
    @classmethod
    def _in_order(cls, wave: tuple[Wave, ...]) -> tuple[Wave, ...]:
        """A wave that comes after itself never begins."""
        levels(wave)
        return wave

    @field_validator("relay", "window", mode="before")
    @classmethod
    def _zoned(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - whatever the file has there
        """Windows and the timetable go by the clock of time_zone, where they name none of their own."""
        zone = info.data.get("time_zone", "UTC")  # missing: it was wrong, which is told anyway
        if isinstance(value, list):
            return [{"time_zone": zone, **one} if isinstance(one, dict) else one for one in value]
        return {"time_zone": zone, **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _apart(self) -> Self:
        """An address can be one vmknic's or one box's only, at whichever site."""
        pools: dict[str, tuple[str, ...]] = {}
        for name, site in (("source", self.source), ("target", self.target)):
            pools[f"{name}.vmotion.addresses"] = site.vmotion.addresses
            pools |= {f'{name}.vmotion.hosts."{host}"': own.addresses for host, own in site.vmotion.hosts.items()}
        pools |= {f"relay host {relay.name}": (relay.address,) for relay in self.relay.every}
        shared = overlaps(pools)
        if shared:
            message = f"{'; '.join(shared)}: an address can be given to one only"
            raise ValueError(message)
        return self

    @property
    def windows(self) -> Windows:
        """The maintenance windows, all together."""
        return Windows(tuple(one.noun for one in self.window))

    def at(self, now: datetime) -> Config:
        """Return the configuration with the cap that holds at *now* in place of a timetable."""
        if self.relay.timetable is None:
            return self
        return self.limited(self.relay.timetable.cap(now))

    def limited(self, bps: int | None) -> Config:
        """Return the configuration with *bps* as what a near relay may send, None: no limit."""
        return self.model_copy(update={"relay": self.relay.model_copy(update={"limit": bps})})


def example_file() -> Path:
    """Return where examples/full.toml is: beside the package's modules when installed, in the clone otherwise."""
    package = Path(__file__).parents[1]
    installed = package / "examples" / "full.toml"
    return installed if installed.exists() else package.parents[1] / "examples" / "full.toml"


def load(path: Path) -> Config:
    """Read *path*, in UTF-8, with or without a byte order mark; relative files in it are relative to its folder.

    Raise UsageError naming every key that is wrong, its line and why.
    """
    try:
        text = files.decoded(path.read_bytes(), str(path))
    except FileNotFoundError:
        message = f"{path}: there is no such file"
        raise UsageError(message, hint="'lrvmotion init' writes one; --config names another") from None
    except OSError as error:
        message = f"{path}: the configuration cannot be read: {error.strerror or error}"
        raise UsageError(message, hint="--config names another") from None
    try:
        content = tomllib.loads(text)
    except RecursionError:
        message = f"{path}: not valid TOML: it is nested too deeply"
        raise UsageError(message, hint=f"{example_file()} explains every key") from None
    except ValueError as error:  # TOMLDecodeError, and numbers of thousands of digits
        reason, _, place = str(error).rstrip(")").partition(" (at ")
        message = f"{path}: {place or 'somewhere'}: not valid TOML: {reason[:1].lower()}{reason[1:]}"
        raise UsageError(message, hint="strings need quotes; tables look like [source]") from None
    return parse(content, where=str(path), folder=path.parent, text=text)


def parse(content: dict[str, Any], *, where: str = "configuration", folder: Path = Path(), text: str = "") -> Config:
    """Validate *content*, read from the TOML *text*; raise UsageError with one line for every mistake."""
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        wrong = validation_errors.lines(error, Config, text)
        noun = "mistake" if len(wrong) == 1 else "mistakes"
        message = f"{where}: {len(wrong)} {noun}\n" + "\n".join(f"  {line}" for line in wrong)
        raise UsageError(message, hint=f"{example_file()} explains every key") from None
    return _anchored(config, folder.resolve())


def _anchored(config: Config, folder: Path) -> Config:
    """Return *config* with its relative files made absolute below *folder*."""

    def fixed(model: BaseModel, *names: str) -> dict[str, Path]:
        return {name: folder / value for name in names if (value := getattr(model, name)) is not None}

    sites = {
        name: site.model_copy(update=fixed(site, "password_file", "certificate"))
        for name, site in (("source", config.source), ("target", config.target))
    }

    def anchored(box: Relay) -> dict[str, Any]:
        return {**fixed(box, "key_file", "password_file"), "known_hosts": tuple(folder / it for it in box.known_hosts)}

    boxes = tuple(box.model_copy(update=anchored(box)) for box in config.relay.source)
    far = config.relay.target
    if far is not None:
        far = far.model_copy(update=anchored(far))
    relays = config.relay.model_copy(update={"source": boxes, "target": far})
    changed: dict[str, Any] = {**fixed(config.hooks, "metrics")}
    for point, words in config.hooks.commands.items():
        changed[point] = (_program(words[0], folder), *words[1:])
    hooks = config.hooks.model_copy(update=changed)
    return config.model_copy(update={**sites, **fixed(config, "state_dir"), "relay": relays, "hooks": hooks})


def _program(word: str, folder: Path) -> str:
    """Return a command's first word: a file where it has a slash, else a name that PATH finds."""
    return str(folder / word) if "/" in word else word
