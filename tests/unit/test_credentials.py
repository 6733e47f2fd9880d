"""Secrets: found where they should be, shown nowhere."""

from __future__ import annotations

import pickle

import keyring
import keyring.backend
import pytest
from keyring.errors import KeyringLocked

from lrvmotion.credentials import Credentials, Secret, read_file
from lrvmotion.errors import TrustError, UsageError

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
    assert Credentials({}, ask).password("box/relay-a", "u", "h", None).reveal() == "typed"
    assert asked == ["Password of u (box/relay-a): "]
    with pytest.raises(TrustError) as caught:
        Credentials({}).password("box/relay-a", "u", "h", None)
    assert "LRVMOTION_RELAY_A_PASSWORD" in (caught.value.hint or "")


class Kept(keyring.backend.KeyringBackend):
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
    yield lambda **how: keyring.set_keyring(Kept(**how))
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
