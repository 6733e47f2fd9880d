"""What can be explained: findings, exit statuses, keys of the configuration, advanced options of hosts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lrvmotion.checks.catalogue import SECTIONS, Code
from lrvmotion.config import reference
from lrvmotion.config.schema import Config, Settings
from lrvmotion.errors import ExitStatus, UsageError
from lrvmotion.model.inventory import SITES, did_you_mean
from lrvmotion.plan.modes import MODES
from lrvmotion.plan.settings import OPTIONS
from lrvmotion.views.explain import Explanation


def everything() -> list[Explanation]:
    """Return all that can be explained, findings first."""
    return [*_findings(), *_statuses(), *_keys(), *_options()]


def find(word: str, known: Sequence[Explanation]) -> list[Explanation]:
    """Return what *word* names among the *known*, or begins the names of; UsageError where that is nothing.

    The case does not matter, nor do the numbers and quoted names in a key of the configuration.
    """
    wanted = reference.plain(word.strip("[] ")).casefold()
    named = [one for one in known if one.name.casefold() == wanted]
    ended = [one for one in known if one.name.casefold().endswith(f".{wanted}")]
    begun = [one for one in known if one.name.casefold().startswith((f"{wanted}.", f"{wanted}-", f"{wanted}_"))]
    if found := named or begun or ended:
        return found
    message = f"there is nothing called {word!r} to explain: no finding, exit status, configuration key or host option"
    close = did_you_mean(word, [one.name for one in known])
    every = "'lrvmotion explain' lists everything"
    raise UsageError(message, hint=f"{close} {every}" if close.endswith("?") else every)


def _findings() -> Iterator[Explanation]:
    part = ""
    for code in Code:
        part = SECTIONS.get(code, part)
        yield Explanation(
            name=str(code), kind="finding", part=f"Findings: {part}", meaning=_text(code.meaning),
            remedy=_text(code.remedy), severities=code.severities,
        )  # fmt: skip


def _statuses() -> Iterator[Explanation]:
    for status in ExitStatus:
        yield Explanation(
            name=str(int(status)), kind="exit status", part="Exit statuses", meaning=_text(status.meaning),
            remedy=_text(status.remedy),
        )  # fmt: skip


def _keys() -> Iterator[Explanation]:
    for key in reference.every_key():
        yield Explanation(
            name=key.key, kind="configuration key", part="Keys of the configuration", meaning=_text(key.meaning),
            default=key.default, required=not key.default,
        )  # fmt: skip


def _options() -> Iterator[Explanation]:
    plain = Config.model_construct(settings=Settings())  # what modes set without a word in [settings]
    for option in OPTIONS:
        said: dict[str, list[str]] = {}
        for name, mode in MODES.items():
            for site in SITES:
                for wanted in mode.options(plain, site):
                    if wanted.key == option.key:
                        value = f"at least {wanted.value}" if wanted.at_least else str(wanted.value)
                        said.setdefault(f"{name} mode sets {value} on HOSTS: {wanted.reason}", []).append(site)
        modes = tuple(text.replace("HOSTS", f"{' and '.join(sites)} hosts") for text, sites in said.items())
        yield Explanation(
            name=option.key, kind="host option", part="Advanced options of ESXi hosts", meaning=option.meaning,
            default=option.default, modes=modes,
        )  # fmt: skip


def _text(marked: str) -> str:
    """Return what documents mark as code as plain text."""
    return marked.replace("`", "")
