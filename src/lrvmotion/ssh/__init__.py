"""A Shell over paramiko: host keys that must be known, sudo, atomic files."""

from __future__ import annotations

from lrvmotion.ssh.login import fetch_host_key, fingerprint
from lrvmotion.ssh.shell import SshShell

__all__ = ["SshShell", "fetch_host_key", "fingerprint"]
