"""The frame around a remote command: what a login shell is handed, and what is taken for the command's output."""

from __future__ import annotations

import re
import shlex

import pytest

from lrvmotion.ssh import frame

TOKEN = "0123456789abcdef"


def owner_id(name: str) -> bytes:
    return f"[lrvmotion {TOKEN} {name}]".encode()


OUT = owner_id("begin") + b"out" + owner_id("end") + owner_id("done 3")
ERR = owner_id("begin") + b"err" + owner_id("done 3")


@pytest.mark.parametrize("argv", [["a'b", "!x", "\\", "%s", "a\nb", "ü\x01"], ["-" * 3000], ["x" * 899 + "-y"]])
def test_frame_hands_over_what_every_shell_takes_literally(argv):
    """Short words in single quotes, without a quote, a backslash before one, a history mark, a newline or a hyphen."""
    text = frame.command(argv, TOKEN, before=["sudo", "-n"])
    assert re.fullmatch(r"[ -~]+", text)
    assert "!" not in text
    words = shlex.split(text)
    assert words[:2] == ["/bin/sh", "-c"]
    for word in words[4:]:
        assert len(word) <= 900
        assert not word.startswith("-")
        assert re.fullmatch(r"([^\\'!]|\\[0-7]{3})+", word)


def test_frame_takes_what_is_between_its_marks():
    """Noise before, between and after belongs to nobody."""
    done = frame.parse(b"motd\n" + OUT + b"bye", b"\xff" + ERR + b"logout", TOKEN)
    assert done == frame.Framed(3, b"out", b"err")


def test_frame_without_the_inner_marks_is_empty():
    """sudo that refuses prints to the outer frame only: there is an error, and no output."""
    done = frame.parse(b"Lecture" + owner_id("done 1"), owner_id("begin") + b"sudo: no" + owner_id("done 1"), TOKEN)
    assert done == frame.Framed(1, b"", b"sudo: no")


def test_frame_of_another_command_is_no_frame():
    """Another token's marks, as a file may hold them, are content."""
    other = OUT.replace(b"0123", b"ffff")
    content = owner_id("begin") + other + owner_id("end") + owner_id("done 0")
    done = frame.parse(content, ERR, TOKEN)
    assert done is not None
    assert done.stdout == other
    assert frame.parse(other, ERR.replace(b"0123", b"ffff"), TOKEN) is None


@pytest.mark.parametrize("length", range(len(OUT)))
def test_frame_that_was_cut_off_is_no_result(length):
    """However much of the output came, without its last mark it is not taken for all of it."""
    assert frame.parse(OUT[:length], ERR, TOKEN) is None
    if length < len(ERR):
        assert frame.parse(OUT, ERR[:length], TOKEN) is None
