"""The layer that lies between the machine's files and the box's own: users, SSH server, masked units."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Folders of the machine that the box sees empty: what its administrator set up is not the box's.
_EMPTY = {
    "etc/cloud": 0o755, "etc/cron.d": 0o755, "etc/modules-load.d": 0o755, "etc/netplan": 0o755, "etc/network": 0o755,
    "etc/profile.d": 0o755, "etc/rc2.d": 0o755, "etc/rc3.d": 0o755, "etc/rc4.d": 0o755, "etc/rc5.d": 0o755,
    "etc/rcS.d": 0o755, "etc/ssh": 0o755, "etc/sudoers.d": 0o750, "etc/sysctl.d": 0o755, "etc/systemd": 0o755,
    "etc/tmpfiles.d": 0o755, "home": 0o755, "root": 0o700, "tmp": 0o1777, "var/lib/systemd": 0o755, "var/log": 0o755,
    "var/tmp": 0o1777,
}  # fmt: skip

# Units that would reach for the machine's devices, kernel or clock, or that only cost time here.
_MASKED = (
    "apt-daily-upgrade.timer", "apt-daily.timer", "apt-news.service", "console-getty.service", "cryptsetup.target",
    "dev-hugepages.mount", "dev-mqueue.mount", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer", "getty-static.service", "getty.target", "integritysetup.target", "kmod-static-nodes.service",
    "ldconfig.service", "man-db.timer", "modprobe@.service", "motd-news.timer", "plymouth-quit-wait.service",
    "plymouth-quit.service", "plymouth-read-write.service", "plymouth-start.service",
    "proc-sys-fs-binfmt_misc.automount", "proc-sys-fs-binfmt_misc.mount", "remote-cryptsetup.target",
    "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
    "systemd-ask-password-console.path", "systemd-ask-password-wall.path", "systemd-binfmt.service",
    "systemd-firstboot.service", "systemd-hwdb-update.service", "systemd-initctl.socket",
    "systemd-journal-flush.service", "systemd-journald-audit.socket", "systemd-logind.service",
    "systemd-machine-id-commit.service", "systemd-modules-load.service", "systemd-networkd-wait-online.service",
    "systemd-networkd.service", "systemd-networkd.socket", "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase.service", "systemd-random-seed.service", "systemd-remount-fs.service", "systemd-repart.service",
    "systemd-resolved.service", "systemd-sysusers.service", "systemd-timesyncd.service",
    "systemd-udev-settle.service", "systemd-udev-trigger.service", "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket", "systemd-udevd.service", "systemd-update-done.service",
    "systemd-update-utmp-runlevel.service", "systemd-update-utmp.service", "veritysetup.target",
)  # fmt: skip

_SSHD_UNIT = """\
[Unit]
Description=OpenSSH server
After=network.target

[Service]
ExecStart=/usr/sbin/sshd -D -e
RuntimeDirectory=sshd
RuntimeDirectoryMode=0755
KillMode=process
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""

# No PAM: the machine's stack is made for the machine's users, and key logins need none of it.
_SSHD_CONFIG = """\
ListenAddress {address}
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthenticationMethods publickey
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
X11Forwarding no
AllowTcpForwarding yes
MaxStartups 100
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
"""

# As Debian's own.
_PROFILE = f"""\
if [ "$(id -u)" -eq 0 ]; then
  PATH="{PATH}"
else
  PATH="/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
fi
export PATH
"""

_SUDOERS = f"""\
Defaults secure_path="{PATH}"
root ALL=(ALL:ALL) ALL
relay ALL=(ALL:ALL) NOPASSWD: ALL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What the layer is made from: *packages* are unpacked roots, *authorized_key* is a public key line.

    *iptables*: which of the two kinds the name iptables stands for, "": as the machine has it.
    """

    hostname: str
    machine_id: str
    address: str
    host_key_file: str
    authorized_key: str
    users: tuple[str, ...]
    packages: tuple[str, ...]
    iptables: str = ""

    def write(self, root: Path) -> None:
        """Write the layer into the empty folder *root*, which must allow trusted.* attributes."""
        for package in self.packages:
            shutil.copytree(package, root, symlinks=True, dirs_exist_ok=True)
        if self.iptables:
            link_iptables(root / "usr/sbin", Path("/usr/sbin"), self.iptables)
        for folder, mode in _EMPTY.items():
            _empty(root / folder, mode)
        _users(root, self.users)
        _systemd(root)
        _text(root / "etc/hostname", f"{self.hostname}\n")
        _text(root / "etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {self.hostname}\n")
        _text(root / "etc/machine-id", f"{self.machine_id}\n", 0o444)
        # A box has no name server; without this, every look-up would wait for the machine's.
        _text(root / "etc/resolv.conf", "options timeout:1 attempts:1\n")
        _text(root / "etc/nsswitch.conf", "passwd: files systemd\ngroup: files systemd\nhosts: files\n")
        for name in ("fstab", "crypttab", "environment", "sysctl.conf", "modules"):
            _text(root / "etc" / name, "")
        _text(root / "etc/profile", _PROFILE)
        _text(root / "etc/ssh/sshd_config", _SSHD_CONFIG.format(address=self.address))
        key = root / "etc/ssh/ssh_host_ed25519_key"
        _text(key, Path(self.host_key_file).read_text(), 0o600)
        for user in self.users:
            home = root / ("root" if user == "root" else f"home/{user}")
            _text(home / ".ssh/authorized_keys", f"{self.authorized_key}\n", 0o600)
            (home / ".ssh").chmod(0o700)
        if "relay" in self.users:
            _text(root / "etc/sudoers", _SUDOERS, 0o440)
            permit = "".join(f"{kind} required pam_permit.so\n" for kind in ("account", "session"))
            _text(root / "etc/pam.d/sudo", f"auth required pam_deny.so\n{permit}")
            uid = _id_of(root / "etc/passwd", "relay")
            for path in (root / "home/relay", *(root / "home/relay").rglob("*")):
                os.chown(path, uid, uid)


def link_iptables(folder: Path, programs: Path, kind: str) -> None:
    """Make in *folder* what the package's update-alternatives would: iptables and its like, of *kind* in *programs*."""
    for family in ("iptables", "ip6tables"):
        for end in ("", "-save", "-restore"):
            (folder / f"{family}{end}").unlink(missing_ok=True)
            (folder / f"{family}{end}").symlink_to(programs / f"{family}-{kind}{end}")


def _empty(folder: Path, mode: int) -> None:
    """Make *folder* hide what lies under it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.chmod(mode)
    os.setxattr(folder, "trusted.overlay.opaque", b"y")


def _text(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_text(text)


def _users(root: Path, users: tuple[str, ...]) -> None:
    """Add sshd's own user and the box's; no password of the machine comes along."""
    accounts = Path("/etc/passwd").read_text().splitlines()
    groups = Path("/etc/group").read_text().splitlines()
    known = {line.split(":")[0] for line in accounts}
    accounts = [line if not line.startswith("root:") else "root:x:0:0:root:/root:/bin/bash" for line in accounts]
    used = {int(line.split(":")[2]) for line in (*accounts, *groups) if line.count(":") >= 2}
    added: list[tuple[str, range, str, str]] = []
    if "sshd" not in known:
        added.append(("sshd", range(300, 999), "/run/sshd", "/usr/sbin/nologin"))
    if "relay" in users:
        accounts = [line for line in accounts if not line.startswith("relay:")]
        groups = [line for line in groups if not line.startswith("relay:")]
        added.append(("relay", range(2000, 60000), "/home/relay", "/bin/bash"))
    for name, ids, home, shell in added:
        number = next(candidate for candidate in ids if candidate not in used)
        accounts.append(f"{name}:x:{number}:{number}::{home}:{shell}")
        groups.append(f"{name}:x:{number}:")
    _text(root / "etc/passwd", "\n".join(accounts) + "\n")
    _text(root / "etc/group", "\n".join(groups) + "\n")
    # "*": no password fits, but the account is not locked.
    names = [line.split(":")[0] for line in accounts if ":" in line]
    _text(root / "etc/shadow", "".join(f"{name}:*:19000:0:99999:7:::\n" for name in names), 0o600)
    _text(root / "etc/gshadow", "", 0o600)


def _id_of(passwd: Path, user: str) -> int:
    lines = (line.split(":") for line in passwd.read_text().splitlines())
    return next(int(fields[2]) for fields in lines if fields[0] == user)


def _systemd(root: Path) -> None:
    units = root / "etc/systemd/system"
    units.mkdir(parents=True)
    # The root's own lib may be a link to usr/lib: name the place that systemd itself uses.
    library = Path("/usr/lib/systemd") if Path("/usr/lib/systemd/systemd").exists() else Path("/lib/systemd")
    (units / "default.target").symlink_to(library / "system/multi-user.target")
    for name in _MASKED:
        (units / name).symlink_to("/dev/null")
    for kind in ("system-generators", "system-environment-generators", "user-generators"):
        masks = root / "etc/systemd" / kind
        masks.mkdir()
        for generator in (library / kind).glob("*"):
            (masks / generator.name).symlink_to("/dev/null")
    _text(
        units / "systemd-sysctl.service.d/net-only.conf",
        f"[Service]\nExecStart=\nExecStart={library}/systemd-sysctl --prefix=/net\n",
    )
    _text(root / "etc/systemd/journald.conf.d/volatile.conf", "[Journal]\nStorage=volatile\n")
    _text(units / "ssh.service", _SSHD_UNIT)
    wants = units / "multi-user.target.wants"
    wants.mkdir()
    (wants / "ssh.service").symlink_to("/etc/systemd/system/ssh.service")
