"""The running relay on a box: a systemd unit, or a supervised process; read, started and stopped."""

from __future__ import annotations

import itertools

from lrvmotion.errors import RefusedError
from lrvmotion.model.setting import ABSENT, Value, document
from lrvmotion.ports.shell import Completed, Shell
from lrvmotion.relay.names import Names

START_S = 40.0
STOP_S = 60.0  # the unit's own time to drain, and some

# Which configuration the relay runs with is read from the process itself, else from what would be started.
_UNIT = r"""
[ -d /run/systemd/system ] || exit 0
i=0
while :; do
  shown=$(systemctl show -p LoadState,ActiveState,SubState,UnitFileState,MainPID,ExecStart -- "$1")
  case $shown in *ActiveState=activating*|*ActiveState=deactivating*) ;; *) break ;; esac
  i=$((i + 1))
  [ $i -gt 25 ] && break
  sleep 0.2
done
printf '%s\n' "$shown"
pid=$(printf '%s\n' "$shown" | sed -n 's/^MainPID=//p')
[ "${pid:-0}" -gt 0 ] && [ -r "/proc/$pid/cmdline" ] && echo "Running=$(tr '\0' ' ' < "/proc/$pid/cmdline")"
[ -e "$2" ] && echo "Remains=$2"
nft list tables 2>/dev/null | while read -r _ family table; do
  case $table in "$4"|"$5") echo "Remains=table $family $table" ;; esac
done
exit 0
"""

# On failure everything is undone at once, so that the caller finds what was there before.
_START_UNIT = r"""
systemctl daemon-reload || exit 1
if said=$(systemctl enable "$1" 2>&1 && systemctl restart "$1" 2>&1 && systemctl is-active "$1"); then exit 0; fi
journalctl --sync 2>/dev/null
# What the relay and the unit's commands said, not what systemd says of them.
own=$(journalctl "_SYSTEMD_UNIT=$1" -n 4 -o cat --no-pager -q 2>/dev/null)
printf '%s\n' "${own:-$said}"
systemctl disable --now "$1" >/dev/null 2>&1
systemctl reset-failed "$1" 2>/dev/null
exit 1
"""

# Where somebody removed the unit file, systemd no longer knows what ends with the unit: its folder in /run, its table.
_STOP_UNIT = r"""
if [ -e "/etc/systemd/system/$1" ]; then
  systemctl disable --now "$1" || exit 1
else
  systemctl stop "$1" 2>/dev/null
  systemctl disable "$1" >/dev/null 2>&1
  rm -f -- /etc/systemd/system/*.wants/"$1"
fi
systemctl daemon-reload
systemctl reset-failed "$1" 2>/dev/null
rm -rf -- "$2"
if command -v nft >/dev/null; then
  nft delete table ip "$4" 2>/dev/null
  nft delete table ip6 "$5" 2>/dev/null
else
  for script in "$3"/*.rules; do [ -r "$script" ] && /bin/sh "$script" remove 2>/dev/null; done
fi
exit 0
"""

# "supervisor" holds pid and start time (field 22 of stat): a pid alone may be somebody else's by now. A zombie has
# ended, whether PID 1 has taken note of it or not.
_SUPERVISOR = r"""
state=$1 folder=$2 relayd=$3
born() { sed -n 's/.*) \([^ZX] .*\)/\1/p' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }
alive() { [ -n "$pid" ] && [ -n "$start" ] && [ "$(born "$pid")" = "$start" ]; }
pid= start=
[ -r "$state/supervisor" ] && read -r pid start < "$state/supervisor"
"""

_PROCESS = (
    _SUPERVISOR
    + r"""
if alive; then
  echo "Running=$(tr '\0' ' ' < "/proc/$pid/cmdline")"
elif [ -S "$folder/control.sock" ] && said=$("$relayd" --status "$folder/control.sock" 2>/dev/null); then
  # Its supervisor was killed, it was not.
  pid=$(printf '%s' "$said" | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')
  echo "Running=$(tr '\0' ' ' < "/proc/$pid/cmdline")"
fi
for path in "$state" "$folder"; do [ -e "$path" ] && echo "Remains=$path"; done
exit 0
"""
)

# The relay is no root, where setpriv can do that: as in the unit, one capability is left. What root writes is in a
# folder of its own. The older of the two iptables wants more than that capability: there it stays root.
_START_PROCESS = (
    _SUPERVISOR
    + r"""
account=$4
shift 4
mkdir -p -m 0755 "$state" "$folder" || exit 1
cd /
drop="setpriv --reuid=$account --regid=$account --clear-groups --inh-caps=-all,+net_admin"
drop="$drop --ambient-caps=-all,+net_admin --bounding-set=-all,+net_admin --no-new-privs"
if command -v nft >/dev/null && $drop true 2>/dev/null; then chown "$account:$account" "$folder"; else drop=; fi
# HOME: an interactive nft, which the relay keeps as the table's owner, writes its history there.
HOME=$folder setsid nohup $drop "$@" </dev/null >>"$state/relay.log" 2>&1 &
pid=$!
# setsid keeps the pid unless it has to fork, which it has not: we are no group's leader.
echo "$pid $(born "$pid")" > "$state/supervisor.new" && mv "$state/supervisor.new" "$state/supervisor"
i=0
while [ $i -lt 100 ]; do
  [ "$(born "$pid")" ] || break
  "$relayd" --status "$folder/control.sock" >/dev/null 2>&1 && exit 0
  i=$((i + 1))
  sleep 0.1
done
tail -n 12 "$state/relay.log"
kill -TERM "$pid" 2>/dev/null
sleep 0.5
[ "$(born "$pid")" ] && kill -KILL "$pid" 2>/dev/null
rm -rf -- "$state" "$folder"
exit 1
"""
)

_STOP_PROCESS = (
    _SUPERVISOR
    + r"""
rounds=${4:-200}
# TERM goes through the supervisor to the relay, which drains for its drain_s and ends both.
if alive; then kill -TERM "$pid"; elif [ -S "$folder/control.sock" ]; then
  "$relayd" --stop "$folder/control.sock" >/dev/null 2>&1
fi
i=0
while alive || "$relayd" --status "$folder/control.sock" >/dev/null 2>&1; do
  i=$((i + 1))
  [ $i -gt $((rounds + 25)) ] && { echo "still running"; exit 1; }
  # It hangs: what systemd would do after the same time. The group is the session that setsid began.
  [ $i -gt "$rounds" ] && alive && kill -s KILL -- "-$pid"
  sleep 0.2
done
rm -rf -- "$state" "$folder"
exit 0
"""
)


def read_unit(shell: Shell, unit: str) -> Value:
    """Return whether *unit* is enabled and kept active, and its configuration; ABSENT where nothing of it is in effect.

    A unit that failed, or waits to be restarted, is still kept active: whether the relay works is `status.health`. Of
    one that is neither, document(remains) says what it left behind, where it did.
    """
    done = shell.run(["sh", "-c", _UNIT, "unit", *_unit_places(unit)])
    shown = dict(line.partition("=")[::2] for line in done.stdout.splitlines() if "=" in line)
    enabled = shown.get("UnitFileState", "").startswith("enabled")
    active = shown.get("ActiveState", "inactive") != "inactive"
    if not enabled and not active:
        return _remains(done)
    return document(
        enabled=enabled, active=active, config=_config_in(shown.get("Running") or shown.get("ExecStart", ""))
    )


def write_unit(shell: Shell, unit: str, value: Value) -> None:
    """Enable and start *unit*, or stop and disable it (ABSENT); RefusedError with its log where it does not start."""
    if value == ABSENT:
        done = shell.run(["sh", "-c", _STOP_UNIT, "stop", *_unit_places(unit)], timeout_s=STOP_S)
        if not done.ok:
            message = f"{shell.name}: {unit} could not be stopped: {_tail(done)}"
            raise RefusedError(message)
        return
    done = shell.run(["sh", "-c", _START_UNIT, "start", unit], timeout_s=START_S + STOP_S)
    if not done.ok:
        message = f"{shell.name}: {unit} did not start: {_tail(done)}"
        raise RefusedError(message, hint="the relay was stopped again; correct what it names")


def read_process(shell: Shell, names: Names) -> Value:
    """Return the supervised relay of a box without systemd; where it does not run, what it left (*read_unit*)."""
    done = shell.run(["sh", "-c", _PROCESS, "process", *_places(names)])
    running = next((line.partition("=")[2] for line in done.stdout.splitlines() if line.startswith("Running=")), "")
    if not running:
        return _remains(done)
    words = running.split()
    holds = " ".join(value for option, value in itertools.pairwise(words) if option == "--hold-redirect") or None
    return document(active=True, config=_config_in(running), holds=holds, python=words[0])


def write_process(shell: Shell, names: Names, value: Value) -> None:
    """Start the supervised relay, or stop it (ABSENT); RefusedError with its log where it does not start."""
    stop = ["sh", "-c", _STOP_PROCESS, "stop", *_places(names)]
    if value == ABSENT or read_process(shell, names) != ABSENT:
        done = shell.run(stop, timeout_s=STOP_S)
        if not done.ok:
            message = f"{shell.name}: the relay of run {names.run} could not be stopped: {_tail(done)}"
            raise RefusedError(message)
    if value == ABSENT:
        return
    fields = value.as_document()
    argv = [fields["python"], names.relayd, "--supervise", "--config", fields["config"]]
    for script in (fields["holds"] or "").split():
        argv += ["--hold-redirect", script]
    start = ["sh", "-c", _START_PROCESS, "start", *_places(names), str(names.account)]
    done = shell.run([*start, *argv], timeout_s=START_S)
    if not done.ok:
        message = f"{shell.name}: the relay of run {names.run} did not start: {_tail(done)}"
        raise RefusedError(message, hint="correct what it names")


def _places(names: Names) -> list[str]:
    return [names.supervised, names.runtime, names.relayd]


def _unit_places(unit: str) -> list[str]:
    names = Names(unit.removeprefix("lrvmotion-relay-").removesuffix(".service"))
    return [unit, names.runtime, names.folder, names.table(), names.table("ip6")]


def _remains(done: Completed) -> Value:
    """Return what *done* says is left of a relay that does not run; ABSENT where nothing is."""
    found = [line.partition("=")[2] for line in done.stdout.splitlines() if line.startswith("Remains=")]
    return document(remains=found) if found else ABSENT


def _config_in(command: str) -> str:
    words = command.replace(";", " ").split()
    return words[words.index("--config") + 1] if "--config" in words[:-1] else ""


def _tail(done: Completed) -> str:
    lines = [line.strip() for line in (*done.stdout.splitlines(), *done.stderr.splitlines()) if line.strip()]
    return "; ".join(lines[-4:]) or f"exit status {done.status}"
