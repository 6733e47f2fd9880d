"""The Typer app: parse, call, show, exit; the only reader of the environment."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from lrvmotion.commands import lab, migrate, plan, restore, status, throttle
from lrvmotion.commands.context import Context
from lrvmotion.errors import ExitStatus, LrvmotionError

app = typer.Typer(
    name="lrvmotion",
    help="Move running VMs between two vCenters across a long, lossy circuit, fast, and put everything back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="plan")(plan.plan)
app.command(name="migrate")(migrate.migrate)
app.command(name="restore-defaults")(restore.restore_defaults)
app.command(name="status")(status.status)
app.command(name="throttle")(throttle.throttle)
app.add_typer(lab.app, name="lab")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"lrvmotion {version('lrvmotion')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            envvar="LRVMOTION_CONFIG",
            help="Configuration file; default ./lrvmotion.toml, then the user's configuration folder.",
        ),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(envvar="LRVMOTION_STATE_DIR", help="Where the journal is kept; default from the configuration."),
    ] = None,
    debug: Annotated[bool, typer.Option(envvar="LRVMOTION_DEBUG", help="Show a traceback with every error.")] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options that every command takes."""
    context.obj = Context(config_file=config, state_dir=state_dir, debug=debug, environment=dict(os.environ))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status; every error becomes one sentence, a hint and a status."""
    debug = "--debug" in (arguments or sys.argv) or bool(os.environ.get("LRVMOTION_DEBUG"))
    try:
        result = app(args=arguments, standalone_mode=False)
    except LrvmotionError as error:
        show(error)
        if debug:
            traceback.print_exc()
        return int(error.status)
    except typer.TyperException as error:
        print(f"lrvmotion: {error.format_message()}", file=sys.stderr)  # noqa: T201
        return int(ExitStatus.USAGE)
    except (KeyboardInterrupt, typer.Abort):
        print("lrvmotion: interrupted", file=sys.stderr)  # noqa: T201
        return int(ExitStatus.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitStatus.OK)
    return result if isinstance(result, int) else int(ExitStatus.OK)


def show(error: LrvmotionError) -> None:
    """Print *error* on stderr: the sentence, then the hint."""
    print(f"lrvmotion: {error.message}", file=sys.stderr)  # noqa: T201
    if error.hint:
        print(f"  hint: {error.hint}", file=sys.stderr)  # noqa: T201
