"""Write the systemd unit that runs the relay: enabled, restarted, sandboxed, and gone with its redirect."""

from __future__ import annotations

import re
from dataclasses import dataclass

WATCHDOG_S = 20
XTABLES_LOCK = "/run/xtables.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What the unit needs to know.

    *run*: the run's id. *python*, *relayd*, *config*: absolute paths on the box, readable by everyone, or by *user*.
    *load*: commands after the relay listens, *withdraw*: before it is asked to end, *remove*: when it has ended,
    however it ended; each an absolute command line that runs as root. *holds*: scripts of the tables that the relay
    owns instead. *runtime*: the folder under /run that holds the control socket. *user*: an account to run as; None:
    one that systemd makes up, or root with *legacy_iptables*, which the relay looks at the redirect with. *drain_s*: as
    in the relay's configuration. ValueError where a value is none that can stand in a unit's file.
    """

    run: str
    python: str
    relayd: str
    config: str
    load: tuple[str, ...] = ()
    withdraw: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    legacy_iptables: bool = False
    runtime: str = "lrvmotion"
    user: str | None = None
    drain_s: float = 30.0

    def __post_init__(self) -> None:
        paths = [(name, getattr(self, name)) for name in ("python", "relayd", "config")]
        for name, path in (*paths, *(("holds", script) for script in self.holds)):
            if not re.fullmatch(r"/[A-Za-z0-9._/+-]+", path):
                message = f"{name}: {path!r} is not an absolute path without blanks"
                raise ValueError(message)
        # A newline would begin another directive, a % be a specifier, `..` lead out of /run.
        for name, word in (("run", self.run), ("runtime", self.runtime), ("user", self.user or "root")):
            if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", word):
                message = f"{name}: {word!r} is not a name of letters, digits, dots and dashes"
                raise ValueError(message)
        for name in ("load", "withdraw", "remove"):
            for command in getattr(self, name):
                if not command.startswith("/") or not command.isprintable():
                    message = f"{name}: {command!r} is not one line that begins with a program's absolute path"
                    raise ValueError(message)


def nft_commands(nft: str, script: str, family: str, table: str) -> dict[str, tuple[str, ...]]:
    """Return *load*, *withdraw* and *remove* for a table in the file *script*, with the *nft* at that path."""
    return {
        "load": (f"{nft} -f {script}",),
        "withdraw": (f"{nft} flush chain {family} {table} catch",),
        "remove": (f"{nft} delete table {family} {table}",),
    }


def unit_text(unit: Unit) -> str:
    """Return the unit's file.

    The relay listens before the redirect is loaded, and the redirect goes before it stops listening. `+` runs as root
    whatever the sandbox says; `-` is not a failure: after a `kill -9` there may be nothing left to flush. CAP_NET_ADMIN
    is there for a congestion control that is not in tcp_allowed_congestion_control, for receive buffers over rmem_max,
    and to load and withdraw the redirect; the older of the two iptables also wants a raw socket and root's lock file.
    """
    rights = "CAP_NET_ADMIN"
    account = f"User={unit.user}" if unit.user is not None else "DynamicUser=yes"
    lock: tuple[str, ...] = ()
    if unit.legacy_iptables:
        rights += " CAP_NET_RAW"
        account = f"User={unit.user or 'root'}"
        lock = (f"ReadWritePaths=-{XTABLES_LOCK}",)
    lines = [
        "[Unit]",
        f"Description=lrvmotion relay, run {unit.run}",
        "After=network-online.target nftables.service",
        "Wants=network-online.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        # It is there before the sandbox is made, which lets only what is there be written.
        *([f"ExecStartPre=+/bin/sh -c ': >> {XTABLES_LOCK}'"] if unit.legacy_iptables else []),
        f"ExecStart={unit.python} {unit.relayd} --config {unit.config}"
        + "".join(f" --hold-redirect {script}" for script in unit.holds),
        *(f"ExecStartPost=+{command}" for command in unit.load),
        *(f"ExecStop=-+{command}" for command in unit.withdraw),
        *(f"ExecStopPost=-+{command}" for command in unit.remove),
        "Restart=always",
        "RestartSec=1",
        # It drained on request, its configuration is wrong, the kernel has no BBR: starting again changes nothing.
        "RestartPreventExitStatus=0 2 4",
        f"WatchdogSec={WATCHDOG_S}",
        f"TimeoutStopSec={int(unit.drain_s) + 15}",
        account,
        f"RuntimeDirectory={unit.runtime}",
        "RuntimeDirectoryMode=0755",
        f"AmbientCapabilities={rights}",
        f"CapabilityBoundingSet={rights}",
        "NoNewPrivileges=yes",
        "LimitNOFILE=65536",
        "TasksMax=8192",
        "OOMScoreAdjust=-500",
        "UMask=0077",
        "ProtectSystem=strict",
        *lock,
        "ProtectHome=yes",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelLogs=yes",
        "ProtectControlGroups=yes",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "ProtectProc=invisible",
        "KeyringMode=private",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "MemoryDenyWriteExecute=yes",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged",
        "SystemCallErrorNumber=EPERM",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"
