"""Secrets: found where they should be, shown nowhere."""

from __future__ import annotations

import pickle

import pytest

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
    assert Credentials(environment, ask).password("source", "u", file).reveal() == "from-env"
    assert Credentials({}, ask).password("source", "u", file).reveal() == "from-file"
    assert Credentials({}, ask).password("box/relay-a", "u", None).reveal() == "typed"
    assert asked == ["Password of u (box/relay-a): "]
    with pytest.raises(TrustError) as caught:
        Credentials({}).password("box/relay-a", "u", None)
    assert "LRVMOTION_RELAY_A_PASSWORD" in (caught.value.hint or "")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path, mode):
    """A secret that is none."""
    file = tmp_path / "pw"
    file.write_text(CANARY)
    file.chmod(mode)
    with pytest.raises(UsageError, match="others") as caught:
        read_file(file)
    assert CANARY not in str(caught.value)
