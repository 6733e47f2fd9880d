"""Files are replaced whole, and nothing but a file is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lrvmotion import files
from lrvmotion.errors import UsageError


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


def test_a_result_is_written_whole_and_for_its_owner_alone(tmp_path):
    """And what was there is replaced."""
    file = tmp_path / "plan.json"
    file.write_text("old")
    file.chmod(0o644)
    files.save(file, "new", "the plan")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode), len(list(tmp_path.iterdir()))) == ("new", 0o600, 1)


def test_where_a_result_cannot_be_written_is_said_first(tmp_path):
    """A folder, a device, a folder that is not there; and again where it is written all the same."""
    for path in (tmp_path, tmp_path / "none" / "plan.json", Path("/dev/null")):
        with pytest.raises(UsageError, match="a plan cannot be written there"):
            files.writable(path, "a plan")
        with pytest.raises(UsageError, match="the plan cannot be written"):
            files.save(path, "new", "the plan")
    files.writable(tmp_path / "plan.json", "a plan")
