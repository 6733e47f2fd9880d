"""Secrets: found where they should be, shown nowhere."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import keyring
import keyring.backend
import pytest
from keyring.errors import KeyringLocked

from lrvmotion.errors import TrustError, UsageError
from lrvmotion.run.credentials import Credentials, Secret, read_file

CANARY = "correct-horse"


def test_a_secret_shows_itself_to_nobody():
    """str, repr, format, pickle, f-strings."""
    secret = Secret(CANARY)
    assert CANARY not in f"{secret} {secret!r} {[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert secret.reveal() == CANARY


def test_the_environment_wins_over_the_file_over_the_prompt(tmp_path):
    """In that order, and each only where the one before has nothing."""
    file = tmp_path / "pw"
    file.touch(mode=0o600)
    file.write_text("from-file\n")
    asked = []

    def ask(prompt):
        asked.append(prompt)
        return "typed"

    environment = {"LRVMOTION_SOURCE_PASSWORD": "from-env"}
    assert Credentials(environment, ask).password("source", "u", "h", file).reveal() == "from-env"
    assert Credentials({}, ask).password("source", "u", "h", file).reveal() == "from-file"
    assert Credentials({}, ask).password("relay/relay-a", "u", "h", None).reveal() == "typed"
    assert asked == ["Password of u (relay/relay-a): "]
    with pytest.raises(TrustError) as caught:
        Credentials({}).password("relay/relay-a", "u", "h", None)
    assert "LRVMOTION_RELAY_A_PASSWORD" in (caught.value.hint or "")


class RecordedEvents(keyring.backend.KeyringBackend):
    """A keyring with one password in it, or a locked one."""

    priority = 1

    def __init__(self, locked=False):
        super().__init__()
        self.locked = locked

    def get_password(self, service, username):
        if self.locked:
            raise KeyringLocked(username)
        return {("lrvmotion", "u@vcsa.example.com"): CANARY}.get((service, username))

    def set_password(self, service, username, password):
        raise NotImplementedError

    def delete_password(self, service, username):
        raise NotImplementedError


@pytest.fixture
def kept():
    """Put a keyring in place of the null one that every test has."""
    before = keyring.get_keyring()
    yield lambda **how: keyring.set_keyring(RecordedEvents(**how))
    keyring.set_keyring(before)


def test_the_keyring_comes_after_the_file_and_before_the_prompt(kept, tmp_path):
    """Its entry is USER@HOST of the service lrvmotion."""
    kept()
    file = tmp_path / "pw"
    file.touch(mode=0o600)
    file.write_text("from-file\n")
    of = Credentials({}, lambda prompt: "typed").password
    assert of("source", "u", "vcsa.example.com", None).reveal() == CANARY
    assert of("target", "u", "other.example.com", None).reveal() == "typed"
    assert Credentials({}).password("source", "u", "vcsa.example.com", file).reveal() == "from-file"


def test_a_keyring_that_is_locked_is_passed_over(kept):
    """As one that does not exist: the prompt, else the error that names all three other ways."""
    kept(locked=True)
    assert Credentials({}, lambda prompt: "typed").password("source", "u", "h", None).reveal() == "typed"
    with pytest.raises(TrustError) as caught:
        Credentials({}).password("source", "u", "h", None)
    hint = caught.value.hint or ""
    assert all(way in hint for way in ("LRVMOTION_SOURCE_PASSWORD", "password_file", "keyring set lrvmotion u@h"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path, mode):
    """A secret that is none."""
    file = tmp_path / "pw"
    file.write_text(CANARY)
    file.chmod(mode)
    with pytest.raises(UsageError, match="others") as caught:
        read_file(file)
    assert CANARY not in str(caught.value)


def file_of(tmp_path, content: bytes):
    file = tmp_path / "pw"
    file.touch(mode=0o600)
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (CANARY.encode(), CANARY),
        (f"{CANARY}\r\nmore\r\n".encode(), CANARY),
        (b"\xef\xbb\xbf" + f"{CANARY}\n".encode(), CANARY),
        ("p\u00e4ss \u4f60\n".encode(), "p\u00e4ss \u4f60"),
        (b" blanks stay \n", " blanks stay "),
    ],
    ids=range(5),
)
def test_a_password_file_is_one_line_of_utf_8(tmp_path, content, password):
    """A byte order mark and line ends are no part of the password."""
    assert read_file(file_of(tmp_path, content)).reveal() == password


@pytest.mark.parametrize(
    "content",
    [
        CANARY.encode("utf-16"),
        CANARY.encode("utf-16-le"),
        CANARY.encode("utf-32"),
        f"{CANARY}\u00e4".encode("latin-1"),
        f"{CANARY}\0\n".encode(),
        f"{CANARY}\rmore\r".encode(),
        b"",
        b"\n",
        b"\xef\xbb\xbf\r\n",
        bytes(5000),
    ],
    ids=range(10),
)
def test_what_is_no_password_is_refused_and_not_repeated(tmp_path, content):
    """In another encoding it would be sent as another password, and three of these lock the account."""
    with pytest.raises(UsageError) as caught:
        read_file(file_of(tmp_path, content))
    assert CANARY not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.hint or "empty" in caught.value.message


@pytest.mark.parametrize("name", ["a\0b", "~nosuchuser/pw", "x" * 5000, "", "/dev/null/x"])
def test_a_password_file_that_cannot_be_opened_is_named(name):
    """Whatever the name; the journal may have one, too."""
    with pytest.raises(UsageError, match="cannot be read"):
        read_file(Path(name))


def test_a_variable_that_is_not_utf_8_is_named():
    """The environment is bytes: what does not decode comes as lone surrogates."""
    environment = {"LRVMOTION_SOURCE_PASSWORD": os.fsdecode(CANARY.encode() + b"\xe4")}
    with pytest.raises(UsageError, match="LRVMOTION_SOURCE_PASSWORD") as caught:
        Credentials(environment).password("source", "u", "h", None)
    assert CANARY not in f"{caught.value.message} {caught.value.hint}"
