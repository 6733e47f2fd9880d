"""RelayBox: a Linux relay host as a target of apply and revert; one setting is one key."""

from __future__ import annotations

import base64
import time

from lrvmotion.errors import LrvmotionError, RefusedError
from lrvmotion.model.relay.relay_spec import RelaySpec
from lrvmotion.model.setting import ABSENT, SettingKey, Value, document, string
from lrvmotion.model.target_id import TargetId
from lrvmotion.ports.shell import Completed, Shell
from lrvmotion.relay import answers, service
from lrvmotion.relay.install import desired
from lrvmotion.relay.names import Names, family_of, of_table
from lrvmotion.relay.packet_filter import opening
from lrvmotion.relay.redirect import parse, render
from lrvmotion.relay.status import RelayStatus, ask, counters, health, limit, list_leftovers

__all__ = ["RelayBox", "RelaySpec", "RelayStatus", "counters", "desired", "health", "limit", "list_leftovers"]

DRAIN_S = 60.0  # how long live streams may go on when the redirect is removed: no relocate runs by then

_GOVERNORS = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
# The kernel writes two other settings along with this one, also where they already matched and so are in no journal.
_FORWARD = """cd /proc/sys/net/ipv4/conf || exit 1
all=$(cat all/accept_redirects) default=$(cat default/accept_redirects)
printf %s "$2" > "$1" || exit 1
printf %s "$all" > all/accept_redirects
printf %s "$default" > default/accept_redirects
"""
# One command: who dies between two would leave the folder, which no setting names. It is ours: gone with its last file.
_REMOVE = """rm -f -- "$1" || exit 1
folder=${1%/*}
case ${folder##*/} in lrvmotion-*) rmdir -- "$folder" 2>/dev/null ;; esac
exit 0
"""


class RelayBox:
    """A box behind a Shell (ports.target.Target). Keys:

    `sysctl/<key>` the kernel's value now · `file/<path>` document(content or base64, mode) · `unit/<name>`
    document(enabled, active, config) · `process/<run>` the same without systemd · `redirect/<table>` document(sources,
    targets, port, listen_port, interface, family) · `firewall/<tool>/<rule>` "accept" (see opening.py) · `governor` one
    name, or "cpu0=a cpu1=b" where they differ.
    """

    def __init__(self, name: TargetId, shell: Shell, *, drain_s: float = DRAIN_S) -> None:
        self._name = name
        self._shell = shell
        self._drain_s = drain_s

    @property
    def name(self) -> TargetId:
        """Its id."""
        return self._name

    def busy(self) -> list[str]:
        """Return nothing: what still streams is drained by the redirect's removal."""
        return []

    def read(self, key: SettingKey) -> Value:
        """Return the setting's value now, ABSENT where it does not exist; UnreachableError where it is not whole."""
        if key.kind.owner != "relay":
            raise self._unknown(key)
        with answers.understood(f"{self._name}: what is there of {key}"):
            return self._read(key.kind.name, key.name)

    def _read(self, kind: str, name: str) -> Value:
        if kind == "sysctl":
            content = self._shell.read(_proc(name))
            return ABSENT if content is None else string(" ".join(content.decode().split()))
        if kind == "file":
            return self._read_file(name)
        if kind == "unit":
            return service.read_unit(self._shell, name)
        if kind == "process":
            return service.read_process(self._shell, Names(name))
        if kind == "redirect":
            return self._read_redirect(name)
        if kind == "firewall":
            return opening.read(self._shell, name)
        return self._read_governor()

    def write(self, key: SettingKey, value: Value) -> None:
        """Set it; ABSENT removes it. RefusedError where the box does not take it."""
        kind, name = key.kind.name, key.name
        if key.kind.owner != "relay":
            raise self._unknown(key)
        if not key.kind.takes(value):
            message = f"{self._name}: {key} cannot be set to a value of type {value.type}"
            raise RefusedError(message)
        if kind == "sysctl":
            self._write_sysctl(name, value)
        elif kind == "file":
            self._write_file(name, value)
        elif kind == "unit":
            service.write_unit(self._shell, name, value)
        elif kind == "process":
            service.write_process(self._shell, Names(name), value)
        elif kind == "redirect":
            if value == ABSENT:
                self._remove_redirect(name)
            else:
                self._install_redirect(parse.from_value(name, value))
        elif kind == "firewall":
            opening.write(self._shell, name, value)
        else:
            self._write_governor(value)

    # --- kernel -----------------------------------------------------------------------------------------------

    def _write_sysctl(self, key: str, value: Value) -> None:
        if value == ABSENT:
            return  # a setting that was not there cannot be taken away: its module or interface takes it along
        script = _FORWARD if key == "net.ipv4.ip_forward" else 'printf %s "$2" > "$1"'
        done = self._shell.run(["sh", "-c", script, "sysctl", _proc(key), str(value.data)])
        self._check(done, f"{key} cannot be set to {value}")

    def _read_governor(self) -> Value:
        done = self._shell.run(["sh", "-c", f'for f in {_GOVERNORS}; do [ -r "$f" ] && echo "$f $(cat "$f")"; done; :'])
        found = {}
        for line in done.stdout.splitlines():
            path, governor = line.split()
            found[path.split("/")[5]] = governor
        if not found:
            return ABSENT
        kinds = set(found.values())
        return string(kinds.pop() if len(kinds) == 1 else " ".join(f"{cpu}={found[cpu]}" for cpu in sorted(found)))

    def _write_governor(self, value: Value) -> None:
        if value == ABSENT:
            return
        if "=" in str(value.data):
            pairs = [word.partition("=")[::2] for word in str(value.data).split()]
            files = [(_GOVERNORS.replace("cpu[0-9]*", cpu), governor) for cpu, governor in pairs]
        else:
            files = [(_GOVERNORS, str(value.data))]
        for pattern, governor in files:
            script = f'for f in {pattern}; do [ -e "$f" ] || continue; echo "$1" > "$f" || exit 1; done'
            self._check(self._shell.run(["sh", "-c", script, "governor", governor]), "the governor cannot be set")

    # --- files ------------------------------------------------------------------------------------------------

    def _read_file(self, path: str) -> Value:
        content = self._shell.read(path)
        if content is None:
            return ABSENT
        done = self._shell.run(["stat", "-L", "-c", "%a", "--", path])
        self._check(done, f"{path} cannot be looked at")
        mode = f"{int(done.stdout, 8):04o}"
        try:
            return document(content=content.decode(), mode=mode)
        except UnicodeDecodeError:
            return document(base64=base64.b64encode(content).decode(), mode=mode)

    def _write_file(self, path: str, value: Value) -> None:
        if value == ABSENT:
            done = self._shell.run(["sh", "-c", _REMOVE, "remove", path])
            self._check(done, f"{path} cannot be removed")
        else:
            fields = value.as_document()
            content = base64.b64decode(fields["base64"]) if "base64" in fields else fields["content"].encode()
            self._shell.put(path, content, mode=int(fields["mode"], 8))
        if path.startswith("/etc/systemd/system/"):
            done = self._shell.run(["sh", "-c", "[ -d /run/systemd/system ] || exit 0; exec systemctl daemon-reload"])
            self._check(done, "systemd does not read its units again")

    # --- the redirect -----------------------------------------------------------------------------------------

    def _read_redirect(self, table: str) -> Value:
        family = family_of(table)
        script = (
            "if command -v nft >/dev/null; then nft -j list table $1 $2 2>/dev/null; "
            'else echo iptables; ${1}tables-save; fi; printf "\\n\\001"; cat "$3" 2>/dev/null; exit 0'
        )
        argv = ["sh", "-c", script, "redirect", family, table, of_table(table).script(table)]
        listed, _, loaded = self._shell.run(argv).stdout.partition("\n\001")
        if listed.startswith("iptables\n"):
            named = _placeholder(table)
            return parse.iptables_observed(family, named.iptables_guard["name"], listed, loaded) or ABSENT
        return parse.nft_observed(listed, loaded) if listed.strip() else ABSENT

    def _install_redirect(self, redirect: render.Redirect) -> None:
        if self._read_redirect(redirect.table) == parse.value(redirect):
            return  # the relay came with it: a table that it owns nobody else can write
        if self._has_nft():
            done = self._shell.run(["nft", "-f", "-"], stdin=render.nft_install(redirect).encode())
        else:
            script = parse.iptables_script(redirect).encode()
            done = self._shell.run(["sh", "-s", "load"], stdin=script)
        self._check(done, f"the redirect {redirect.table} cannot be installed")

    def _remove_redirect(self, table: str) -> None:
        """Catch nothing new, let live streams end, end the relay, take the table away.

        The relay goes first: it would load again what it takes for flushed. It withdraws the redirect itself when it
        is asked to drain, which also ends a table that it owns.
        """
        names = of_table(table)
        named = _placeholder(table)
        if self._shell.run([names.relayd, "--drain", names.control]).ok:
            self._drain(names)
        if service.read_unit(self._shell, names.unit) != ABSENT:
            service.write_unit(self._shell, names.unit, ABSENT)
        service.write_process(self._shell, names, ABSENT)  # one that has ended leaves its folders
        if self._has_nft():
            done = self._shell.run(["nft", "-f", "-"], stdin=render.nft_remove(named).encode())
            self._check(done, f"the redirect {table} cannot be removed")
        else:
            for command in render.iptables_remove(named):
                self._shell.run(command)

    def _drain(self, names: Names) -> None:
        deadline = time.monotonic() + self._drain_s
        while time.monotonic() < deadline:
            try:
                if not ask(self._shell, names.run)["live"]:
                    return
            except LrvmotionError:
                return  # no relay, no streams
            time.sleep(0.5)

    def _has_nft(self) -> bool:
        return self._shell.run(["sh", "-c", "command -v nft"]).ok

    def _unknown(self, key: SettingKey) -> RefusedError:
        return RefusedError(f"{self._name}: {key!r} is not a setting of a relay host")

    def _check(self, done: Completed, what: str) -> None:
        if not done.ok:
            said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.status}"]
            message = f"{self._name}: {what}: {said[0]}"
            raise RefusedError(message)


def _proc(key: str) -> str:
    """Return the file of a kernel setting; a slash in its name stands for a dot, as in sysctl(8)."""
    return "/proc/sys/" + "/".join(part.replace("/", ".") for part in key.split("."))


def _placeholder(table: str) -> render.Redirect:
    """Return a redirect that only names *table*, for the texts that need no more."""
    v6 = family_of(table) == "ip6"
    address = "::1" if v6 else "127.0.0.1"
    return render.Redirect(
        table=table, family="ip6" if v6 else "ip", sources=(address,), targets=(address,), port=1, listen_port=1
    )
