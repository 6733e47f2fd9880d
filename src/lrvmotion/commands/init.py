"""lrvmotion init: fetch what both vCenters and the relay host show, look at both, write a first configuration."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from lrvmotion.commands import options
from lrvmotion.commands.context import Context, Output
from lrvmotion.errors import ExitStatus, LrvmotionError, UsageError

if TYPE_CHECKING:
    from lrvmotion.workflows.first_contact import Fingerprint

ADMINISTRATOR = "administrator@vsphere.local"


def _option(flag: str, text: str, **more: Any) -> Any:  # noqa: ANN401 - typer's own
    """Return the option *flag*, also an LRVMOTION_* variable."""
    return typer.Option(flag, envvar="LRVMOTION_" + flag.strip("-").upper().replace("-", "_"), help=text, **more)


def init(
    context: typer.Context,
    source_vcenter: Annotated[str | None, _option("--source-vcenter", "The vCenter that the VMs leave.")] = None,
    source_port: Annotated[int, _option("--source-port", "Its port.")] = 443,
    source_username: Annotated[str | None, _option("--source-username", "Who logs in to it.")] = None,
    source_password_file: Annotated[
        Path | None, _option("--source-password-file", "File with the password, readable by its owner only.")
    ] = None,
    source_sha256: Annotated[
        str | None, _option("--source-sha256", "SHA-256 of the certificate it must show; off a terminal required.")
    ] = None,
    target_vcenter: Annotated[str | None, _option("--target-vcenter", "The vCenter that the VMs go to.")] = None,
    target_port: Annotated[int, _option("--target-port", "Its port.")] = 443,
    target_username: Annotated[str | None, _option("--target-username", "Who logs in to it.")] = None,
    target_password_file: Annotated[
        Path | None, _option("--target-password-file", "File with the password, readable by its owner only.")
    ] = None,
    target_sha256: Annotated[
        str | None, _option("--target-sha256", "SHA-256 of the certificate it must show; off a terminal required.")
    ] = None,
    relay_host: Annotated[
        str | None, _option("--relay-host", "SSH address of the relay host beside the source hosts.")
    ] = None,
    relay_port: Annotated[int, _option("--relay-port", "Its SSH port.")] = 22,
    relay_user: Annotated[str | None, _option("--relay-user", "Root, or a user with passwordless sudo.")] = None,
    relay_key_file: Annotated[
        Path | None, _option("--relay-key-file", "Private key; without one the agent's keys, then a password.")
    ] = None,
    relay_password_file: Annotated[
        Path | None, _option("--relay-password-file", "File with the password, readable by its owner only.")
    ] = None,
    relay_address: Annotated[
        str | None, _option("--relay-address", "Its address on the vMotion network; default: what it has there.")
    ] = None,
    relay_host_key: Annotated[
        str | None,
        _option("--relay-host-key", "The key it must show, or its SHA256:… fingerprint; off a terminal required."),
    ] = None,
    far_host: Annotated[
        str | None, _option("--far-host", "SSH address of a relay host at the target site; default none.")
    ] = None,
    far_port: Annotated[int, _option("--far-port", "Its SSH port.")] = 22,
    far_user: Annotated[str | None, _option("--far-user", "Root, or a user with passwordless sudo.")] = None,
    far_key_file: Annotated[Path | None, _option("--far-key-file", "As --relay-key-file.")] = None,
    far_password_file: Annotated[Path | None, _option("--far-password-file", "As --relay-password-file.")] = None,
    far_address: Annotated[str | None, _option("--far-address", "As --relay-address.")] = None,
    far_host_key: Annotated[str | None, _option("--far-host-key", "As --relay-host-key.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            envvar="LRVMOTION_INIT_FILE", help="File to write; default: what --config names, else lrvmotion.toml."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", envvar="LRVMOTION_INIT_FORCE", help="Overwrite an existing file.")
    ] = False,
    output: options.OneDocument = Output.TEXT,
) -> int:
    """Write a commented configuration from both vCenters and the relay host; nothing is changed on them."""
    own: Context = context.obj
    path = file or own.config_file or Path("lrvmotion.toml")
    _free(path, force=force)
    given = {
        "source": _given(
            port=source_port, username=source_username, password_file=source_password_file, sha256=source_sha256
        )
        | (vcenter_at(source_vcenter) if source_vcenter is not None else {}),
        "target": _given(
            port=target_port, username=target_username, password_file=target_password_file, sha256=target_sha256
        )
        | (vcenter_at(target_vcenter) if target_vcenter is not None else {}),
        "relay": _given(
            name="relay-a", host=relay_host, port=relay_port, user=relay_user, key_file=relay_key_file,
            password_file=relay_password_file, host_key=relay_host_key, address=relay_address,
        ),
        "far": _given(
            name="relay-b", host=far_host, port=far_port, user=far_user, key_file=far_key_file,
            password_file=far_password_file, host_key=far_host_key, address=far_address,
        ),
    }  # fmt: skip
    asks = sys.stdin.isatty()
    asked = _complete(given, asks=asks)

    from lrvmotion import files
    from lrvmotion.views import first_configuration, first_contact
    from lrvmotion.views.events import lines
    from lrvmotion.workflows.first_contact import introduce

    try:
        found = introduce(
            _document(given),
            own.credentials(),
            lines.Lines(quiet=output is not Output.TEXT),
            accept=_accept if asks else None,
            address=_address if asks else None,
        )
    except LrvmotionError:
        if asked:  # no answer is lost
            typer.echo(f"\nto run it again with these answers:\n  {_command(given)}\n", err=True)
        raise
    try:
        files.replace(path, first_configuration.starter(found))
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}"
        raise UsageError(message, hint="--file names another place") from None
    if output is Output.TEXT:
        first_contact.show(found, path)
    else:
        first_contact.show_json(found, path)
    return int(ExitStatus.OK)


def _free(path: Path, *, force: bool) -> None:
    """Raise UsageError where *path* cannot be written: before anybody is asked anything."""
    if path.exists() and not force:
        message = f"{path} exists already"
        raise UsageError(message, hint="name another with --file, or overwrite it with --force")
    if not path.parent.is_dir() or path.is_dir():
        message = f"{path} cannot be written: " + ("it is a folder" if path.is_dir() else "its folder does not exist")
        raise UsageError(message, hint="--file names another place")


def _given(**values: object) -> dict[str, Any]:
    """Return what was given as the configuration writes it; files as absolute paths: it may lie elsewhere."""
    usual = {("port", 443), ("port", 22)}
    return {
        key: _whole(value) if isinstance(value, Path) else value
        for key, value in values.items()
        if value is not None and (key, value) not in usual
    }


def _whole(path: Path) -> str:
    try:
        return str(path.expanduser().absolute())
    except RuntimeError:
        message = f"{path}: the home folder is not known"
        raise UsageError(message, hint="write the whole path") from None


def vcenter_at(text: str) -> dict[str, Any]:
    """Return host and port in *text*: people paste what their browser shows, https://vcsa-a.example.com:8443/ui/.

    What is neither a URL nor HOST:PORT stays as it is, to be refused by name where it is no host.
    """
    plain = "://" not in text
    try:
        parts = urlsplit(f"//{text}" if plain else text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return {"vcenter": text}
    if not host or (plain and (port is None or text.partition(":")[0].lower() != host)):
        return {"vcenter": text}  # a name, a bare IPv6 address, or no host at all
    return {"vcenter": host} | ({"port": port} if port not in {None, 443} else {})


def _complete(given: dict[str, dict[str, Any]], *, asks: bool) -> bool:
    """Ask for what is missing, and return whether anything was; off a terminal one UsageError names it all.

    An address at which nobody answers is asked for again.
    """
    from lrvmotion.workflows import first_contact

    missing, asked = [], False
    for name in ("source", "target"):
        for key, question, default in (
            ("vcenter", f"The {name} vCenter (name or address)", None),
            ("username", f"User name at the {name} vCenter", ADMINISTRATOR),
        ):
            if key in given[name]:
                continue
            if asks and key == "vcenter":
                given[name] |= _ask_address(question, given[name], vcenter_at, first_contact.find_vcenter)
            elif asks:
                given[name][key] = _ask(question, default)
            if asks:
                asked = True
            else:
                missing.append(f"--{name}-{key}")
    relay, far = given["relay"], given["far"]
    if asks and "host" not in relay:
        question, asked = "SSH address of the relay host beside the source hosts (empty: none)", True
        relay |= _ask_address(question, relay, relay_at, first_contact.find_relay, none={"host": ""})
        if relay["host"] and "user" not in relay:
            relay["user"] = _ask("User on it", "root")
        if relay["host"] and "key_file" not in relay and "password_file" not in relay:
            key = _ask("Private key for it (empty: the agent's keys, then a password)", "")
            relay |= {"key_file": _whole(Path(key))} if key else {}
    for name, box in (("relay", relay), ("far", far)):
        if not box.get("host") and box.keys() - {"name", "host"}:
            missing.append(f"--{name}-host")
    if far.get("host") and not relay.get("host"):
        missing.append("--relay-host")
    if missing:
        message = f"init needs {', '.join(dict.fromkeys(missing))}"
        raise UsageError(message, hint="on a terminal it asks; each is an LRVMOTION_* variable too")
    return asked


def relay_at(text: str) -> dict[str, Any]:
    """Return host and port in *text*, as vcenter_at does; people write the port of SSH as HOST:PORT, too."""
    found = vcenter_at(text)
    return {"host": found.pop("vcenter"), **found}


def _ask_address(
    question: str,
    given: dict[str, Any],
    read: Callable[[str], dict[str, Any]],
    find: Callable[[dict[str, Any]], None],
    none: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Ask until *find* finds somebody at the answer; an empty one is *none*, where there need be nobody."""
    while True:
        answer = _ask(question, None if none is None else "")
        if not answer and none is not None:
            return none
        found = read(answer)
        try:
            find({**given, **found})
        except LrvmotionError as error:
            typer.echo(f"  {error.message}" + (f"\n  hint: {error.hint}" if error.hint else ""), err=True)
        else:
            return found


def _command(given: dict[str, dict[str, Any]]) -> str:
    """Return the command that gives the same answers: without secrets, which are in none of them."""
    words = ["lrvmotion", "init"]
    for name, values in given.items():
        words += [
            word
            for key, value in values.items()
            if value and key != "name"
            for word in (f"--{name}-{key.replace('_', '-')}", str(value))
        ]
    if not given["relay"].get("host"):
        words += ["--relay-host", ""]
    return shlex.join(words)


def _document(given: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return *given* as the configuration has it."""
    document: dict[str, Any] = {"source": given["source"], "target": given["target"]}
    if given["relay"].get("host"):
        document["relay"] = {"source": [{"user": "root"} | given["relay"]]}
        if given["far"].get("host"):
            document["relay"]["target"] = {"user": "root"} | given["far"]
    return document


def _ask(question: str, default: str | None) -> str:
    answer: str = typer.prompt(question, default=default, show_default=bool(default), err=True)
    return answer.strip()


def _accept(shown: Fingerprint) -> bool:
    """Show a certificate or host key and ask whether it is the right one."""
    typer.echo(f"\n{shown.what} of {shown.where}:", err=True)
    width = max(len(name) for name, _ in shown.prints)
    for name, text in shown.prints:
        typer.echo(f"  {name:{width}}  {text}", err=True)
    console = "vCenter" if shown.who in {"source", "target"} else "relay host"
    question = f"Does this match the fingerprint on the {console}'s console? Trust it?"
    return bool(typer.confirm(question, default=False, err=True))


def _address(name: str, found: Sequence[str]) -> str:
    """Ask which address a box has on the vMotion network."""
    several = f" ({', '.join(found)})" if found else ""
    return _ask(f"Address of {name} on the vMotion network{several}", found[0] if found else None)
