"""What every command gets: the configuration, the state directory, credentials, and where output goes."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from lrvmotion.errors import RefusedError, UsageError
from lrvmotion.run.interrupts import Interrupts

if TYPE_CHECKING:
    from lrvmotion.config.schema import Config
    from lrvmotion.run.credentials import Credentials


class Output(StrEnum):
    """What goes to stdout."""

    TEXT = "text"
    JSON = "json"
    NDJSON = "ndjson"


@dataclass(slots=True, kw_only=True)
class Process:
    """What the process has once, whatever the command: its interrupts; *told*: stdout has its end already."""

    interrupts: Interrupts = field(default_factory=Interrupts)
    told: bool = False


@dataclass(slots=True, kw_only=True)
class Context:
    """The options that come before the command, and the environment as the CLI read it."""

    config_file: Path | None
    state_dir: Path | None
    debug: bool
    environment: dict[str, str] = field(repr=False)
    process: Process

    def command(self, name: str) -> str:
        """Return the command line of *name* with the options that came before this one, to be pasted into a shell."""
        options = {"--config": self.config_file, "--state-dir": self.state_dir}
        words = [word for option, path in options.items() if path is not None for word in (option, str(path))]
        return shlex.join(["lrvmotion", *words, name])

    def find_config(self) -> Path | None:
        """Return the configuration file: the named one, ./lrvmotion.toml, or the user's; None where there is none."""
        if self.config_file is not None:
            return self.config_file
        from platformdirs import user_config_path

        places = [Path("lrvmotion.toml")]
        with contextlib.suppress(RuntimeError):  # neither HOME nor an entry in passwd, as in a container
            places.append(user_config_path("lrvmotion") / "config.toml")
        return next((path for path in places if path.exists()), None)

    def config(self) -> Config:
        """Return the configuration; UsageError where there is none or it is wrong."""
        from lrvmotion.config.schema import load

        path = self.find_config()
        if path is None:
            message = "there is no configuration: neither ./lrvmotion.toml nor one in the user's configuration folder"
            raise UsageError(message, hint="'lrvmotion init' writes one; --config names another")
        return load(path)

    def state(self, config: Config | None) -> Path:
        """Return the state directory: the option, the configuration's, or the user's."""
        if self.state_dir is not None:
            return self.state_dir
        if config is not None and config.state_dir is not None:
            return config.state_dir
        from platformdirs import user_state_path

        try:
            return user_state_path("lrvmotion")
        except RuntimeError:
            message = "where the journal is kept is not known: this user has no home folder"
            raise UsageError(message, hint="name a folder of yours with --state-dir, or set HOME") from None

    def who(self) -> str:
        """Return who calls, for the journal: the user at this machine, and who became it by sudo."""
        import pwd
        import socket

        try:
            user = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:  # a container's user has no name
            user = str(os.getuid())
        before = self.environment.get("SUDO_USER")
        return f"{f'{before} as ' if before and before != user else ''}{user}@{socket.gethostname()}"

    def credentials(self) -> Credentials:
        """Return where passwords come from: the environment, files, and a prompt on a terminal."""
        from lrvmotion.run.credentials import Credentials

        return Credentials(self.environment, _ask if sys.stdin.isatty() else None)


def confirm(question: str, *, yes: bool, refused: str, hint: str) -> None:
    """Ask *question* on a terminal; elsewhere --yes is needed. RefusedError, which has *undone*, for a no."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        message = f"{refused}: there is no terminal to confirm on"
        raise RefusedError(message, hint=hint)
    import typer

    if not typer.confirm(question, default=False, err=True):
        message = f"cancelled: {refused}"
        raise RefusedError(message)


def _ask(prompt: str) -> str:
    import getpass

    return getpass.getpass(prompt)


def wall_clock() -> str:
    """Return the time now, ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")  # noqa: TID251 - the one clock that commands pass on


def moment() -> datetime:
    """Return the time now, for what depends on the time of day: windows and a timetable."""
    return datetime.fromisoformat(wall_clock())
