"""The Typer app: parse, call, show, exit; the only reader of the environment."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lrvmotion.commands import (
    check,
    explain,
    init,
    inventory,
    lab,
    migrate,
    plan,
    report,
    restore,
    status,
    support,
    throttle,
    vms,
)
from lrvmotion.commands.context import Context, Output, Process, wall_clock
from lrvmotion.errors import ExitStatus, LrvmotionError
from lrvmotion.run.interrupts import Interrupts
from lrvmotion.views import errors
from lrvmotion.views.text import streams


class _Interruptible(TyperGroup):
    """Ctrl-C ends a command with a sentence and a hint, too: Typer alone would end it without a word.

    What comes before the command is parsed and looked up waits for it: it is counted until then.
    """

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer's own context
        interrupts: Interrupts = ctx.obj.interrupts
        try:
            with interrupts.raising():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Abort from None


app = typer.Typer(
    name="lrvmotion",
    cls=_Interruptible,
    help="Move running VMs between two vCenters across a long, lossy circuit at full speed, and restore every setting.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# short_help: what `--help` lists, short enough for 80 columns.
app.command(name="init", short_help="Write a configuration from what is there.")(init.init)
app.command(name="check", short_help="Check everything, change nothing.")(check.check)
app.command(name="vms", short_help="List the VMs of the source, and which can move.")(vms.vms)
app.command(name="plan", short_help="Show what would change and move; writes nothing.")(plan.plan)
app.command(name="migrate", short_help="Change the hosts for a mode and move VMs.")(migrate.migrate)
app.command(name="restore-defaults", short_help="Restore everything that was changed.")(restore.restore_defaults)
app.command(name="status", short_help="Show runs, settings not yet restored, relays.")(status.status)
app.command(name="throttle", short_help="Change the cap of the running relays.")(throttle.throttle)
app.command(name="report", short_help="Show the result of a run; check the journal.")(report.report)
app.command(name="support", short_help="Build a support bundle for a run (no secrets).")(support.support)
app.command(name="inventory", short_help="Write both vCenters into one document.")(inventory.inventory)
app.command(name="explain", short_help="Explain a finding, exit status or setting.")(explain.explain)
app.add_typer(lab.app, name="lab", short_help="Rehearse: simulated sites and a bad circuit.")


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
    debug: Annotated[
        bool, typer.Option("--debug", envvar="LRVMOTION_DEBUG", help="Show a traceback with every error.")
    ] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options that every command takes."""
    context.obj = Context(
        config_file=config, state_dir=state_dir, debug=debug, environment=dict(os.environ), process=context.obj
    )


def run(arguments: list[str] | None = None, *, interrupts: Interrupts | None = None) -> int:
    """Run the command line and return its exit status; every error becomes one sentence, a hint and a status.

    *interrupts* are those that were taken before this module was imported.
    """
    words = options_first(sys.argv[1:] if arguments is None else arguments)
    _leave_no_bytecode()
    _reach_sbin()
    process = Process(interrupts=interrupts or Interrupts())
    if interrupts is None:
        process.interrupts.take()
    before, threading.excepthook = threading.excepthook, _show_thread
    try:
        with process.interrupts.counted():
            return _run(words, process)
    finally:
        threading.excepthook = before
        process.interrupts.over()


def options_first(words: list[str]) -> list[str]:
    """Return *words* with the options that every command takes before the command, wherever they stood.

    What follows "--" are arguments, whatever they look like.
    """
    first: list[str] = []
    rest: list[str] = []
    coming = iter(words)
    for word in coming:
        if word == "--":
            rest += [word, *coming]
        elif word in {"--config", "-c", "--state-dir"}:
            value = next(coming, None)
            if value is None:
                return [*first, word]  # Typer says that it takes a value
            first += [word, value]
        elif word == "--debug" or word.startswith(("--config=", "--state-dir=")):
            first.append(word)
        else:
            rest.append(word)
    return first + rest


def _run(words: list[str], process: Process) -> int:
    try:
        result = app(args=words, prog_name="lrvmotion", standalone_mode=False, obj=process)
    except LrvmotionError as error:
        if "--debug" in words or os.environ.get("LRVMOTION_DEBUG"):
            _show(traceback.format_exception(error))
        return _fail(words, error.message, error.hint, error.status, told=process.told)
    except typer.TyperException as error:
        return _usage(words, error)
    except (KeyboardInterrupt, typer.Abort):
        hint = "'lrvmotion status' shows what is outstanding"
        return _fail(words, "interrupted", hint, ExitStatus.INTERRUPTED, told=process.told)
    except Exception as error:  # noqa: BLE001 - the last resort: what nobody foresaw is a bug
        said = _show_bug(error)
        hint = "this is a bug; 'lrvmotion status' shows what is outstanding, 'lrvmotion restore-defaults' restores it"
        return _fail(words, f"unexpected: {said}", hint, ExitStatus.UNEXPECTED, told=process.told)
    return _written(words, result if isinstance(result, int) else int(ExitStatus.OK), process)


def _show_bug(error: BaseException) -> str:
    """Print the traceback of *error*, which nobody foresaw, and return it in a line: the only place that does."""
    bug = _root(error)
    if hasattr(bug, "faultMessage"):  # its repr may hold the objects of a call, a password among them
        _show(traceback.format_tb(bug.__traceback__))
        return _said(bug)
    _show(traceback.format_exception(error))
    return _hidden(f"{type(bug).__name__}: {bug}")


def _show_thread(failed: threading.ExceptHookArgs) -> None:
    """Print what ended a thread that nobody waits for."""
    if failed.exc_value is not None and failed.exc_type is not SystemExit:
        name = failed.thread.name if failed.thread is not None else "a thread"
        _show([f"Exception in thread {name}:\n", *traceback.format_exception(failed.exc_value)])


def _show(lines: list[str]) -> None:
    sys.stderr.write(_hidden("".join(lines)))


def _hidden(text: str) -> str:
    """Return *text* without any secret: an exception of any class may repeat what a call was given."""
    from lrvmotion.run.credentials import hidden

    return hidden(text)


def _written(words: list[str], status: int, process: Process) -> int:
    """Return *status*, or 1 in place of 0 where the result could not be written; a reader may leave, as `head` does."""
    error = streams.lost(sys.stdout)
    if error is None or streams.left(error):
        return status
    message = f"the result could not be written to stdout: {error.strerror}"
    done = "what the command does is done; 'lrvmotion status' and 'lrvmotion report' show it"
    return _fail(words, message, done, ExitStatus(status) if status else ExitStatus.UNEXPECTED, told=process.told)


def _root(error: BaseException) -> BaseException:
    """Return what really happened: Typer marks the exceptions that pass it, and pyVmomi's take no mark."""
    while isinstance(error, AttributeError) and "typer" in str(error) and error.__context__ is not None:
        error = error.__context__
    while isinstance(error, AttributeError) and "_propInfo" in str(error) and error.__context__ is not None:
        error = error.__context__
    return error


def _said(fault: BaseException) -> str:
    from lrvmotion.vsphere import faults

    return faults.text(fault)


def _usage(words: list[str], error: typer.TyperException) -> int:
    message = error.format_message().replace("Value error, ", "")  # pydantic's word, by way of Typer
    if message.startswith("Usage:"):  # no arguments: the help is the answer
        print(message, file=sys.stderr)  # noqa: T201
        return int(ExitStatus.USAGE)
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "lrvmotion"
    return _fail(words, message.rstrip("."), f"'{command} --help' lists arguments and options", ExitStatus.USAGE)


def _fail(words: list[str], message: str, hint: str | None, status: ExitStatus, *, told: bool = False) -> int:
    """Say an error and return its exit status; *told*: the command's own last line on stdout has it."""
    errors.show(message, hint)
    if not told:
        errors.tell(_output(words), message, hint, int(status), wall_clock())
    return int(status)


def _output(words: list[str]) -> str:
    """Return the output asked for, also where the rest of the command line could not be read."""
    asked = os.environ.get("LRVMOTION_OUTPUT", Output.TEXT)
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--output":
            asked = following
        elif word.startswith("--output="):
            asked = word.partition("=")[2]
    return asked


def _leave_no_bytecode() -> None:
    """Write no __pycache__ where root through sudo runs what is a user's: they could not remove it."""
    if os.geteuid() == 0 and "SUDO_UID" in os.environ:
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


def _reach_sbin() -> None:
    """Let the lab find nft and ip where PATH has no sbin, as after Debian's `su` and for plain users."""
    there = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(
        [*there, *(folder for folder in ("/usr/sbin", "/sbin") if folder not in there)]
    )
