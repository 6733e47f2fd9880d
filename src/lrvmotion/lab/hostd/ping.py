"""`esxcli network diag ping` by the real ping program of the namespace."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

from lrvmotion.lab.rpc import RpcError

_REPLY = re.compile(
    r"^(?P<bytes>\d+) bytes from (?P<host>[^\s:]+):? icmp_seq=(?P<seq>\d+) ttl=(?P<ttl>\d+)"
    r" time=(?P<time>[\d.]+) ms(?P<dup> \(DUP!\))?"
)
_SUMMARY = re.compile(r"^(\d+) packets transmitted, (\d+) received(?:, \+(\d+) duplicates)?")
_RTT = re.compile(r"^rtt min/avg/max/mdev = ([\d.]+)/([\d.]+)/([\d.]+)/")
_TOO_LONG = "sendto() failed (Message too long)"


def arguments(
    *,
    host: str,
    interface: str | None,
    mark: int,
    count: int,
    size: int,
    df: bool,
    interval: float,
    ttl: int | None,
    wait: float,
) -> list[str]:
    """Return the command line; *interval* and *wait* in seconds, *size* without IP and ICMP headers."""
    command = ["ping", "-n", "-c", str(count), "-s", str(size), "-i", f"{interval:g}"]
    command += ["-W", f"{wait:g}", "-M", "do" if df else "dont"]
    if interface is not None:
        command += ["-I", interface]
    elif mark:
        command += ["-m", str(mark)]
    if ttl is not None:
        command += ["-t", str(ttl)]
    return [*command, host]


def run(command: list[str], *, timeout: float) -> dict[str, Any]:
    """Run ping and return what it saw. Raises RpcError `failed` where it could not send at all."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise RpcError(kind="failed", message=f"ping did not end within {timeout:g} s") from error
    except FileNotFoundError as error:
        raise RpcError(kind="unsupported", message="ping is not installed") from error
    return parse(done.stdout, done.stderr)


def parse(stdout: str, stderr: str) -> dict[str, Any]:
    """Return the contract's record from the output of iputils' ping; times in microseconds."""
    trace: list[dict[str, Any]] = []
    transmitted = received = duplicated = -1
    rtt = (0, 0, 0)
    for line in stdout.splitlines():
        if reply := _REPLY.match(line):
            if not reply["dup"]:
                trace.append(
                    {
                        "seq": int(reply["seq"]) - 1,  # esxcli counts from 0
                        "rtt_us": round(float(reply["time"]) * 1000),
                        "ttl": int(reply["ttl"]),
                        "bytes": int(reply["bytes"]),
                        "host": reply["host"],
                    }
                )
        elif summary := _SUMMARY.match(line):
            transmitted, received, duplicated = (int(value or 0) for value in summary.groups())
        elif times := _RTT.match(line):
            low, mean, high = (round(float(value) * 1000) for value in times.groups())
            rtt = (low, mean, high)
    if "essage too long" in stdout + stderr:
        raise RpcError(kind="failed", message=_TOO_LONG)
    if transmitted < 0:
        said = (stderr.strip() or stdout.strip()).splitlines()
        raise RpcError(kind="failed", message=said[-1] if said else "ping said nothing")
    return {
        "transmitted": transmitted,
        "received": received,
        "duplicated": duplicated,
        "rtt_min_us": rtt[0],
        "rtt_avg_us": rtt[1],
        "rtt_max_us": rtt[2],
        "trace": trace,
    }
