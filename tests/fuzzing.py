"""How everything that is read from outside is fuzzed: mutations of valid documents, seeded, for a count or for a time.

`make test` runs each subject for a fixed number of inputs with a fixed seed; LRVMOTION_FUZZ_S=3600 (`make fuzz`) goes
on with further seeds for so many seconds, in equal parts. An input that ends in an exception which is no
LrvmotionError, or that is not read within a minute, is shrunk and shown.
"""

from __future__ import annotations

import copy
import json
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from lrvmotion.errors import LrvmotionError

SEED = int(os.environ.get("LRVMOTION_FUZZ_SEED", "2026"))
EXAMPLES = 600  # for each subject: some two minutes in all
SECONDS = float(os.environ.get("LRVMOTION_FUZZ_S", "0"))
HANG_S = 60  # a generous bound: no input of ours takes a second
subjects: list[str] = []

# What a wrong value may be, wherever a document has one.
WEIRD: list[Any] = [
    None, True, False, 0, -1, 1.5, 2**31, 2**63, 2**64, 10**400, -(10**400), float("inf"), float("nan"),
    "", " ", "\0", "x" * 5000, "\x1b[2J\x07\u202e", "\ud800", "9" * 5000, "\u0665", "../../etc/passwd", "~nosuchuser",
    "0001-01-01T00:00", "9999-12-31T23:59",
    "'\"\\", [], {}, [None], [[[]]], {"": None}, ["a", 1, {}], {"a": {"b": []}},
]  # fmt: skip
DEEP = 3000  # deeper than any parser's stack
PIECES = [
    b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\n", b"\n\n", b"'", b'"', b"\\", b"\\u", b'"""',
    *(bytes([one]) for one in b"[]{}=,;#<>&|-~ \t0"), b"\x1b[31m", b"-1", b"1e999",
    b"0001-01-01T00:00", b"9999-12-31T23:59", b"9" * 5000, b"x" * 70_000,
    "\u00e4\u4f60\u202e\U0001f600".encode(), b"[" * DEEP, b'{"a":' * DEEP, b"(" * DEEP, b"<a>" * DEEP,
    b"null", b"true", b"NaN",
]  # fmt: skip


def subject(*strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., Any]], Callable[[], None]]:
    """Make a test of a function that reads one input: it may return, or raise an LrvmotionError."""

    def made(read: Callable[..., Any]) -> Callable[[], None]:
        subjects.append(read.__name__)

        def one(values: tuple[Any, ...]) -> None:
            signal.signal(signal.SIGALRM, _hangs)
            signal.alarm(HANG_S)
            try:
                read(*values)
            except LrvmotionError as error:
                assert error.message.strip()
                told(error)
            finally:
                signal.alarm(0)

        def run() -> None:
            until = time.monotonic() + SECONDS / len(subjects)
            number = SEED
            while True:
                fuzzed = settings(
                    max_examples=EXAMPLES, deadline=None, database=None, print_blob=False,
                    phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
                )(seed(number)(given(st.tuples(*strategies))(one)))  # fmt: skip
                try:
                    fuzzed()
                except BaseException as error:
                    error.add_note(f"{read.__name__}, seed {number}")
                    raise
                number += 1
                if time.monotonic() >= until:
                    return

        run.__doc__, run.__name__ = read.__doc__, read.__name__
        return run

    return made


def told(error: LrvmotionError) -> None:
    """What a person is told has no control character, whoever wrote the input."""
    for text in (error.message, error.hint or ""):
        assert "\x1b" not in text
        assert "\0" not in text


def _hangs(*_: object) -> None:
    message = f"it is not read within {HANG_S} s"
    raise AssertionError(message)


def bytes_of(*documents: bytes | str) -> st.SearchStrategy[bytes]:
    """Return mutations of valid *documents*: bytes flipped, cut, doubled, swapped, put in; and plain noise."""
    valid = [text.encode() if isinstance(text, str) else text for text in documents]
    steps = st.lists(
        st.tuples(st.integers(0, 6), st.floats(0, 1), st.floats(0, 1), st.sampled_from(PIECES), st.integers(0, 7)),
        min_size=1, max_size=4,
    )  # fmt: skip
    mutated = st.builds(_mutated, st.sampled_from(valid), steps)
    return st.one_of(mutated, mutated, mutated, st.binary(max_size=300), st.text(max_size=200).map(_encoded))


def text_of(*documents: str) -> st.SearchStrategy[str]:
    """Return the same as text, as a shell hands it on: what is not UTF-8 is replaced."""
    return bytes_of(*documents).map(lambda content: content.decode(errors="replace"))


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _mutated(content: bytes, steps: list[tuple[int, float, float, bytes, int]]) -> bytes:
    for kind, where, far, piece, bit in steps:
        at, to = sorted((int(where * len(content)), int(far * len(content))))
        if kind == 0 and content:
            at = min(at, len(content) - 1)
            content = content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
        elif kind == 1:
            content = content[:at] + piece + content[at:]
        elif kind == 2:
            content = content[:at] + piece + content[to:]
        elif kind == 3:
            content = content[:to]
        elif kind == 4:
            content = content[:to] + content[at:to] + content[to:]
        elif kind == 5:
            content = content[to:] + content[:to]
        else:
            lines = content.split(b"\n")
            random.Random(at * 31 + bit).shuffle(lines)
            content = b"\n".join(lines)
    return content


def json_of(*documents: Any) -> st.SearchStrategy[Any]:
    """Return *documents* whose values were replaced, left out, doubled, wrapped or given another name."""
    steps = st.lists(
        st.tuples(st.integers(0, 5), st.floats(0, 1), st.sampled_from(WEIRD), st.floats(0, 1)), min_size=1, max_size=3
    )
    return st.builds(_changed, st.sampled_from([json.dumps(one) for one in documents]), steps)


def _changed(text: str, steps: list[tuple[int, float, Any, float]]) -> Any:
    document = json.loads(text)
    for kind, where, weird, other in steps:
        value = copy.deepcopy(weird)  # later steps change it
        places = list(_places(document))
        if not places:
            return value
        holder, key = places[min(int(where * len(places)), len(places) - 1)]
        if kind == 0:
            holder[key] = value
        elif kind == 1:
            del holder[key]
        elif kind == 2 and isinstance(holder, list):
            holder.append(holder[key])
        elif kind == 3:
            holder[key] = [holder[key]]
        elif kind == 4 and isinstance(holder, dict):
            holder[str(value)] = holder.pop(key)
        else:
            there, name = places[min(int(other * len(places)), len(places) - 1)]
            holder[key] = json.loads(json.dumps(there[name]))
    return document


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def dumped(document: Any) -> str:
    """Return *document* as JSON, numbers of any length included."""
    return json.dumps(document)
