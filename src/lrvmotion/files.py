"""Files: written whole or not at all, and read, replaced and appended to only where they are files."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path

from lrvmotion.errors import UsageError


def read(path: Path) -> bytes:
    """Return the content of *path*; OSError where that fails, or it is a folder, a pipe or a device: never waits."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _verify(os.fstat(descriptor).st_mode, path)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def appending(path: Path) -> int:
    """Return a descriptor that appends to *path*, made for its owner alone; OSError as `read` has it: never waits."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        _verify(os.fstat(descriptor).st_mode, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _verify(mode: int, path: Path) -> None:
    """Raise OSError where *mode* is that of a folder, a pipe or a device."""
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise OSError(errno.EINVAL, "it is a device", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a file", str(path))


def decoded(content: bytes, where: str, hint: str = "save it as UTF-8") -> str:
    """Return the text of *content*, UTF-8 with or without a byte order mark; UsageError with the line that is not.

    *where* names the file in the message.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        message = f"{where}: line 1 is not UTF-8 but UTF-16"
        raise UsageError(message, hint=hint)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"{where}: line {line} is not UTF-8"
        raise UsageError(message, hint=hint) from None


def same(path: Path, descriptor: int) -> bool:
    """Return whether *path* is the file that is open as *descriptor*, and was not removed or replaced since."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except (FileNotFoundError, NotADirectoryError):
        return False


def replace(path: Path, text: str | bytes, *, mode: int = 0o600) -> None:
    """Write *text* in place of what *path* has, with *mode*: for its owner alone; OSError where that fails.

    However it ends, *path* holds the old content or the new one, and nothing is left beside it. A folder, pipe or
    device stays: root would put a file in the place of /dev/null.
    """
    path = path.resolve()
    with contextlib.suppress(FileNotFoundError):
        _verify(path.stat().st_mode, path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text.encode() if isinstance(text, str) else text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def writable(path: Path, what: str) -> None:
    """Raise UsageError where *what* ("a plan") cannot be written at *path*: asked before anything is connected."""
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        kind = stat.S_IFREG
    except OSError as error:
        message = f"{path}: {what} cannot be written there: {error.strerror or error}"
        raise UsageError(message) from None
    if not stat.S_ISREG(kind):
        message = f"{path}: {what} cannot be written there: it is not a file"
        raise UsageError(message, hint="name a file that is new or may be replaced")
    if not os.access(path.resolve().parent, os.W_OK | os.X_OK):
        message = f"{path}: {what} cannot be written there: no such folder, or no write permission"
        raise UsageError(message, hint="name a file in a folder that you may write to")


def save(path: Path, content: str | bytes, what: str) -> None:
    """Write *content*, *what* ("the plan"), as `replace` does; UsageError where that fails."""
    try:
        replace(path, content)
    except OSError as error:
        message = f"{path}: {what} cannot be written: {error.strerror or error}"
        raise UsageError(message, hint="name a file in a folder that you may write to") from None
