"""Files are replaced whole, and nothing but a file is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lrvmotion import files


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A device as /dev/null is, but our own."""
    path = tmp_path / "null"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    return path


@pytest.mark.parametrize("linked", [False, True])
def test_a_device_is_never_replaced_by_a_file(tmp_path: Path, device: Path, linked: bool) -> None:
    """As root, `plan -o /dev/null` would take the machine's null device away; so would a journal linked to it."""
    named = device
    if linked:
        named = tmp_path / "link"
        named.symlink_to(device)
    with pytest.raises(OSError, match="it is a device"):
        files.replace(named, "text")
    assert device.is_char_device()
    assert {path.name for path in tmp_path.iterdir()} <= {"null", "link"}


def test_a_link_to_a_file_stays_one(tmp_path: Path) -> None:
    """What it leads to is replaced."""
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for text in ("first", "second"):
        files.replace(tmp_path / "link", text)
        assert (tmp_path / "file").read_text() == text
    assert (tmp_path / "link").is_symlink()
