"""What nobody foresaw is shown whole, but for the secrets: of any class, spelled in any way."""

from __future__ import annotations

import base64
import html
import http.client
import json
import threading
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from canaries import needles
from lrvmotion import cli
from lrvmotion.errors import ExitStatus
from lrvmotion.redaction import wherever
from lrvmotion.run.credentials import Credentials, Secret, hidden, hide

WORD = "c4nary 'in' \\ a \"coal\" <m&ne>"


def raised(made: Exception, cause: Exception | None = None) -> Exception:
    made.__cause__ = cause
    with pytest.raises(type(made)) as caught:
        raise made
    return caught.value


EXCEPTIONS = {
    "text": lambda: RuntimeError(f"Login({WORD})"),
    "arguments": lambda: TypeError({"password": WORD}, [WORD]),
    "key": lambda: KeyError(WORD),
    "repr-of-repr": lambda: KeyError(str({"spec": repr({"password": WORD})})),
    "oserror": lambda: OSError(5, WORD, WORD),
    "http": lambda: http.client.BadStatusLine(f"POST {WORD}"),
    "unicode": lambda: UnicodeDecodeError("utf-8", b"x", 0, 1, WORD),
    "group": lambda: ExceptionGroup(WORD, [ValueError(WORD), ExceptionGroup("x", [OSError(WORD)])]),
    "escaped": lambda: ValueError(html.escape(WORD), json.dumps(WORD), quote(WORD)),
}


def test_what_ends_a_thread_repeats_no_secret(capsys):
    """A login in a thread of its own, that of a relay's watch for example."""
    Secret(WORD)
    error = raised(RuntimeError(WORD))
    thread = threading.Thread(name="watch relay-a")
    cli._show_thread(threading.ExceptHookArgs((type(error), error, error.__traceback__, thread)))
    shown = capsys.readouterr().err
    assert "Exception in thread watch relay-a" in shown
    assert "RuntimeError: ***" in shown
    assert "c4nary" not in shown


def noted() -> Exception:
    error = ValueError("x")
    error.add_note(f"while {WORD} was sent")
    return error


@pytest.mark.parametrize("made", [*EXCEPTIONS.values(), noted], ids=[*EXCEPTIONS, "note"])
@pytest.mark.parametrize("below", [False, True])
def test_the_last_traceback_repeats_no_secret(capsys, made, below):
    """In its text, its arguments, its notes, its members, its cause; escaped or not."""
    Secret(WORD)
    error = raised(RuntimeError("outer"), raised(made())) if below else raised(made())
    said = cli._show_bug(error)
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "***" in shown
    assert "c4nary" not in shown
    assert "coal" not in shown
    assert "c4nary" not in said


def test_every_password_that_was_found_is_hidden(tmp_path):
    """From the environment, a file, or typed; and what was only ever asked for."""
    file = tmp_path / "pw"
    file.touch(mode=0o600)
    file.write_text("c4nary-file\n")
    Credentials({"LRVMOTION_SOURCE_PASSWORD": "c4nary-env"}).password("source", "u", "h", None)
    Credentials({}).password("target", "u", "h", file)
    Credentials({}, lambda _: "c4nary-typed").password("relay/a", "u", "h", None)
    assert hidden("c4nary-env c4nary-file c4nary-typed c4nary-other") == "*** *** *** c4nary-other"


def test_the_login_of_http_is_hidden_as_it_is_sent():
    """Base64 of user and password, as in the Authorization header."""
    pair = base64.b64encode(b"admin:c4nary-rest").decode()
    hide(pair)
    assert not any(needle.decode() in hidden(f"Basic {pair}") for needle in needles(["c4nary-rest"]))


SPELLED = (str, repr, ascii, json.dumps, html.escape, lambda text: quote(text, safe=""))


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=12),
    st.lists(st.sampled_from([repr, ascii, json.dumps]), max_size=2), st.sampled_from(SPELLED),
)  # fmt: skip
@example("000%", [], quote)
def test_a_secret_is_found_however_it_is_escaped(secret, inner, outer):
    """As Python and JSON show it, in a text in a text, and that as XML or in a URL."""
    text = secret
    for escape in inner:
        text = escape(text)
    text = outer(text) if outer in SPELLED[:5] or not inner else text
    found = wherever([secret])
    assert found is not None
    left = found.sub("", text)
    assert set(html.unescape(left)) <= set("\\\"'"), left


def test_what_is_too_short_is_left():
    """A password of three letters stands in too many words; the longer of two goes first."""
    hide("x9z")
    hide("c4nary-one")
    hide("c4nary-one-and-more")
    assert hidden("x9z c4nary-one-and-more") == "x9z ***"


def test_an_error_of_ours_with_debug_repeats_no_secret(capsys, monkeypatch, tmp_path):
    """--debug shows the traceback of every error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LRVMOTION_DEBUG", "1")
    Secret("c4nary-name")
    status = cli.run(["--config", "c4nary-name.toml", "status"])
    shown = capsys.readouterr().err
    assert status == ExitStatus.USAGE
    assert "Traceback" in shown
    assert "c4nary-name" not in shown.partition("\nlrvmotion: ")[0]
