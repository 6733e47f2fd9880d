"""Get programs that the box needs and the machine lacks: unpacked into a cache, never installed."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from lrvmotion.lab.box.record import BoxError

_ROOT_CACHE = Path("/var/cache/lrvmotion-lab")
# What the package's dependencies name but a box needs not: set-up helpers of an installation, and the client.
_NOT_NEEDED = re.compile(r"^(?!lib|openssh-sftp-server$)")


def cache_folder() -> Path:
    """Return the cache: the system's own for root, so that no root-owned file lands in a user's home."""
    if os.geteuid() == 0:
        return _ROOT_CACHE
    from platformdirs import user_cache_path

    return user_cache_path("lrvmotion") / "lab"


def unpacked(package: str, program: str, cache: Path) -> Path | None:
    """Return a folder that holds *package* laid out like a root; None if *program* is installed.

    Fetches it and the libraries it needs and the machine lacks with apt-get once; later calls need no network.
    BoxError if it cannot be had.
    """
    if Path(program).exists():
        return None
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    release = platform.freedesktop_os_release()
    system = f"{release.get('ID', 'linux')}{release.get('VERSION_ID', '')}-{platform.machine()}"
    folder = cache / f"{package}-{system}"
    lock = os.open(cache, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(package, program, cache, folder)
    finally:
        os.close(lock)
    return folder


def _fetch(package: str, program: str, cache: Path, folder: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        message = f"{program} is not on this machine, and there is no apt-get to fetch {package} with"
        raise BoxError(message, f"install {package} yourself")
    with tempfile.TemporaryDirectory(dir=cache, prefix=".new-") as scratch:
        work = Path(scratch)
        tree = work / "tree"
        tree.mkdir(mode=0o755)
        debs = work / "debs"
        debs.mkdir()
        waiting, seen = [package], {package}
        while waiting:
            deb = _download(waiting.pop(), debs, cache)
            _run("dpkg-deb", "-x", str(deb), str(tree))
            for name in _dependencies(deb):
                if name not in seen and not _installed(name):
                    seen.add(name)
                    waiting.append(name)
        _merge_usr(tree)
        if not (tree / program.lstrip("/")).exists():
            message = f"the package {package} holds no {program}"
            raise BoxError(message)
        tree.rename(folder)


def _download(package: str, folder: Path, cache: Path) -> Path:
    before = set(folder.iterdir())
    first = _apt(["download", package], folder)
    if first.returncode != 0:
        # No package lists, or stale ones (a fresh container). The machine's own are left as they are.
        lists = cache / "lists"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        own = ["-o", f"Dir::State::lists={lists}", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="]
        _apt([*own, "update"], folder)
        second = _apt([*own, "download", package], folder)
        shutil.rmtree(lists)
        if second.returncode != 0:
            reason = second.stderr.strip().splitlines()[-1:] or ["no reason given"]
            message = f"apt-get could not download {package}: {reason[0]}"
            raise BoxError(message, "is this machine online? See `apt-get update`")
    found = [path for path in set(folder.iterdir()) - before if path.suffix == ".deb"]
    if len(found) != 1:
        message = f"apt-get download {package} left {len(found)} packages"
        raise BoxError(message)
    return found[0]


def _apt(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # As root, apt fetches as another user, who cannot write here.
        ["apt-get", "-q", "-o", "APT::Sandbox::User=root", *arguments],
        cwd=folder, env={"PATH": os.defpath + ":/usr/sbin:/sbin", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


def _dependencies(deb: Path) -> list[str]:
    """Return the packages that *deb* cannot run without, first alternative of each."""
    fields = _run("dpkg-deb", "-f", str(deb), "Pre-Depends", "Depends")
    listed = ",".join(line.partition(":")[2] for line in fields.splitlines())
    names = [re.split(r"[\s|(:]", entry.strip(), maxsplit=1)[0] for entry in listed.split(",")]
    return [name for name in names if name and not _NOT_NEEDED.match(name)]


def _installed(package: str) -> bool:
    found = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}\n", package],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "installed" in found.stdout.split()


def _merge_usr(tree: Path) -> None:
    """Move /bin, /sbin and /lib of *tree* below /usr where the machine has them there."""
    for top in ("bin", "sbin", "lib", "lib64"):
        if (tree / top).is_dir() and Path("/", top).is_symlink():
            shutil.copytree(tree / top, tree / "usr" / top, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(tree / top)


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"{argv[0]} failed: {done.stderr.strip()}"
        raise BoxError(message)
    return done.stdout
