"""The configuration: TOML to Config, every mistake at once with its key and reason."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from lrvmotion.addresses import overlaps, parse_pool
from lrvmotion.errors import UsageError

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMG]?)(?:bit/s|bps)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


def rate(text: object) -> int:
    """Return bit/s of "2G", "500M", "800k" or a plain number; ValueError for anything else."""
    matched = _RATE.fullmatch(str(text).strip())
    if matched is None or isinstance(text, bool):
        message = f"{text!r} is not a rate: write for example 500M or 2G (bit/s)"
        raise ValueError(message)
    bits = round(float(matched[1]) * _UNITS[matched[2].lower()])
    if bits <= 0:
        message = "a rate must be above 0"
        raise ValueError(message)
    return bits


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _fingerprint(text: str) -> str:
    plain = text.replace(":", "").replace(" ", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", plain):
        message = "a SHA-256 fingerprint has 64 hexadecimal digits, with or without colons"
        raise ValueError(message)
    return plain


def _expand(text: str) -> Path:
    return Path(text).expanduser()


Rate = Annotated[int, BeforeValidator(rate)]
Address = Annotated[str, AfterValidator(_address)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
File = Annotated[Path, BeforeValidator(_expand)]
Pool = Annotated[tuple[str, ...], AfterValidator(parse_pool)]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, hide_input_in_errors=True)


class HostVmotion(_Section):
    """What one host has of its own."""

    addresses: Pool = ()


class Vmotion(_Section):
    """Addresses for new vMotion vmknics of a site; per host where a host has its own."""

    addresses: Pool = ()
    hosts: dict[str, HostVmotion] = {}


class Site(_Section):
    """A vCenter: where it is, who logs in, what certificate it must show."""

    vcenter: str
    port: Port = 443
    username: str
    password_file: File | None = None
    sha256: Fingerprint | None = None
    certificate: File | None = None
    hosts: tuple[str, ...] = ()
    vmotion: Vmotion = Vmotion()


class Relay(_Section):
    """A relay box: how to log in to it, and its address on the vMotion network."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    host: str
    port: Port = 22
    user: str = "root"
    key_file: File | None = None
    password_file: File | None = None
    host_key: str | None = None
    known_hosts: File | None = None
    address: Address
    listen_port: Port = 9000


class FarRelay(Relay):
    """The box at the target site: with *forward* the near relays send through it, without it only measures."""

    forward: bool = False


CIRCUIT_SHARE = (
    0.95  # a cap a little below the circuit takes the queue away for everyone (measured: 3.5 to 0.5 % resent)
)


class Relays(_Section):
    """The relay boxes of both sites; *limit* caps what a near relay sends, *circuit* is the circuit's rate (bit/s)."""

    source: tuple[Relay, ...] = ()
    target: FarRelay | None = None
    limit: Rate | None = None
    circuit: Rate | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        """Two entries for one box would write over each other's files."""
        boxes = [*self.source, *([self.target] if self.target is not None else [])]
        kinds = {
            "name": [box.name for box in boxes],
            "host": [f"{box.host} port {box.port}" for box in boxes],
            "address": [box.address for box in boxes],
        }
        twice = [f"{kind} {one}" for kind, of in kinds.items() for one in dict.fromkeys(of) if of.count(one) > 1]
        if twice:
            message = f"two relay boxes have {', '.join(twice)}: each needs its own"
            raise ValueError(message)
        return self

    @property
    def cap_bps(self) -> int | None:
        """The cap of a near relay: the limit, or its equal share of 95 % of the circuit, whichever is lower."""
        share = None if self.circuit is None else round(self.circuit * CIRCUIT_SHARE / max(len(self.source), 1))
        return min((cap for cap in (self.limit, share) if cap is not None), default=None)

    @property
    def far(self) -> FarRelay | None:
        """The far relay, where one is to forward."""
        return self.target if self.target is not None and self.target.forward else None


class Mappings(_Section):
    """Source name to target name; what is not listed keeps its name."""

    networks: dict[str, str] = {}
    datastores: dict[str, str] = {}
    folders: dict[str, str] = {}
    pools: dict[str, str] = {}
    hosts: dict[str, str] = {}


class Limits(_Section):
    """What the path may be like, and how long things may take; *loss* is a ratio 0-1."""

    rtt_ms: Annotated[float, Field(gt=0)] = 150.0
    loss: Annotated[float, Field(ge=0, le=1)] = 0.02
    probes: Annotated[int, Field(ge=1, le=2000)] = 20
    per_host: Annotated[int, Field(ge=1, le=2)] = 1
    restore_wait_s: Annotated[float, Field(ge=0)] = 14_400.0


class Settings(_Section):
    """The values that native and proxy mode set; a number here wins over the profile's."""

    profile: Literal["recommended", "field-report"] = "recommended"
    source_vmknics: Annotated[int, Field(ge=1, le=16)] = 5
    target_vmknics: Annotated[int, Field(ge=1, le=16)] = 2
    native_stream_helpers: Annotated[int, Field(ge=0, le=112)] = 48
    proxy_stream_helpers: Annotated[int, Field(ge=0, le=112)] = 5
    expected_line_rate_mbytes: Annotated[int, Field(ge=1, le=2000)] = 2000
    rx_dispatch_queues: Annotated[int, Field(ge=0, le=8)] = 5


class Config(_Section):
    """The whole configuration, frozen."""

    source: Site
    target: Site
    relay: Relays = Relays()
    mappings: Mappings = Mappings()
    limits: Limits = Limits()
    settings: Settings = Settings()
    mode: Literal["native", "proxy", "stock", "auto"] | None = None
    steer: Literal["route", "gateway"] = "route"
    state_dir: File | None = None

    @model_validator(mode="after")
    def _apart(self) -> Self:
        """An address can be one vmknic's or one box's only, at whichever site."""
        pools: dict[str, tuple[str, ...]] = {}
        for name, site in (("source", self.source), ("target", self.target)):
            pools[f"{name}.vmotion.addresses"] = site.vmotion.addresses
            pools |= {f'{name}.vmotion.hosts."{host}"': own.addresses for host, own in site.vmotion.hosts.items()}
        boxes = [*self.relay.source, *([self.relay.target] if self.relay.target is not None else [])]
        pools |= {f"relay box {box.name}": (box.address,) for box in boxes}
        shared = overlaps(pools)
        if shared:
            message = f"{'; '.join(shared)}: an address can be given to one only"
            raise ValueError(message)
        return self


def load(path: Path) -> Config:
    """Read *path*; relative files in it are relative to its folder.

    Raise UsageError naming every key that is wrong, and why.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = f"{path}: there is no such file"
        raise UsageError(message, hint="'lrvmotion init' writes one; --config names another") from None
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read: {error}"
        raise UsageError(message) from None
    except tomllib.TOMLDecodeError as error:
        message = f"{path}: not valid TOML: {error}"
        raise UsageError(message, hint="strings need quotes; tables look like [source]") from None
    return parse(content, where=str(path), folder=path.parent)


def parse(content: dict[str, Any], *, where: str = "configuration", folder: Path = Path()) -> Config:
    """Validate *content*; raise UsageError with one line for every mistake."""
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        lines = [f"  {_key(item['loc'])}: {_reason(item)}" for item in error.errors()]
        noun = "mistake" if len(lines) == 1 else "mistakes"
        message = f"{where}: {len(lines)} {noun}\n" + "\n".join(lines)
        raise UsageError(message, hint="examples/full.toml explains every key") from None
    return _anchored(config, folder.resolve())


def _anchored(config: Config, folder: Path) -> Config:
    """Return *config* with its relative files made absolute below *folder*."""

    def fixed(model: BaseModel, *names: str) -> dict[str, Path]:
        return {name: folder / value for name in names if (value := getattr(model, name)) is not None}

    sites = {
        name: site.model_copy(update=fixed(site, "password_file", "certificate"))
        for name, site in (("source", config.source), ("target", config.target))
    }
    boxes = tuple(
        box.model_copy(update=fixed(box, "key_file", "password_file", "known_hosts")) for box in config.relay.source
    )
    far = config.relay.target
    if far is not None:
        far = far.model_copy(update=fixed(far, "key_file", "password_file", "known_hosts"))
    relays = config.relay.model_copy(update={"source": boxes, "target": far})
    return config.model_copy(update={**sites, **fixed(config, "state_dir"), "relay": relays})


def _key(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text or "(top level)"


def _reason(item: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    match item["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not a key that exists here"
        case _:
            return str(item["msg"]).removeprefix("Value error, ")
