"""Frame a remote command, so that nothing its login shell prints is taken for what the command printed: pure.

sshd hands a command to the account's login shell, which may be csh or fish, and whose start files may print before the
command and after it. So the login shell gets one plain call of /bin/sh with words that every shell takes literally, and
what the command prints stands between marks with a token that is new each time.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

# csh knows history in single quotes (!) and no newline in them, fish a backslash before a quote; % is printf's own.
_LITERAL = frozenset(range(0x20, 0x7F)) - frozenset(b"'\\!%")
_WORD = 900  # older csh: "Word too long" above 1024 bytes

# The mark's words are apart here: a shell that traces (set -x) shows this line, not the mark.
_MARK = "printf '[lrvmotion %s %s]'"
_INNER = f"""t=$1; shift; {_MARK} "$t" begin; "$@"; s=$?; {_MARK} "$t" end; exit $s"""


@dataclass(frozen=True, slots=True)
class Framed:
    """A command that ran to its end: its exit status and what it printed, to the byte."""

    status: int
    stdout: bytes
    stderr: bytes


def command(argv: Sequence[str], token: str, *, before: Sequence[str] = ()) -> str:
    """Return what to hand to a login shell of any kind to run *argv*, with the words *before* in front (sudo, env).

    Those may print too: standard output is framed around *argv* itself, the error output around all of it, so that a
    refusal of sudo is seen.
    """
    run = shlex.join([*before, "/bin/sh", "-c", _INNER, "sh", token, *argv])
    script = (
        f'{_MARK} {token} begin >&2\n{run}\ns=$?\n{_MARK} {token} "done $s"; {_MARK} {token} "done $s" >&2\nexit $s\n'
    )
    words = " ".join(f"'{word}'" for word in _encoded(script.encode()))
    return f"""/bin/sh -c 'eval "$(for w do printf "$w"; done)"' sh {words}"""


def is_done(printed: bytes | bytearray, token: str, start: int = 0) -> bool:
    """Return whether the last mark is in *printed*, from byte *start* on: nothing of the command comes after it."""
    return re.compile(rb"\[lrvmotion %s done \d+\]" % token.encode()).search(printed, start) is not None


def began(stderr: bytes, token: str) -> bool:
    """Return whether /bin/sh was reached at all."""
    return b"[lrvmotion %s begin]" % token.encode() in stderr


def parse(stdout: bytes, stderr: bytes, token: str) -> Framed | None:
    """Return the command's own status and output, None where it did not run to its end."""
    done = re.search(rb"\[lrvmotion %s done (\d+)\]" % token.encode(), stderr)
    if done is None or not is_done(stdout, token):
        return None
    return Framed(int(done[1]), _between(stdout, token), _between(stderr, token))


def _between(printed: bytes, token: str) -> bytes:
    """Return what stands between the first two marks, nothing where the first of them is not there."""
    _, begin, rest = printed.partition(b"[lrvmotion %s begin]" % token.encode())
    end = re.search(rb"\[lrvmotion %s (?:end|done \d+)\]" % token.encode(), rest)
    return rest[: end.start()] if begin and end else b""


def _encoded(script: bytes) -> list[str]:
    """Return *script* as formats for printf(1), in words short enough for every shell."""
    letters = ["%%" if byte == 0x25 else chr(byte) if byte in _LITERAL else f"\\{byte:03o}" for byte in script]
    words = [""]
    for letter in letters:
        if len(words[-1]) + len(letter) > _WORD:
            words.append("")
        words[-1] += "\\055" if (words[-1], letter) == ("", "-") else letter  # no option of printf's
    return words
