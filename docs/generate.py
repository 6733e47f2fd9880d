"""Write the pages that are made of the source: findings, commands, configuration: `make docs`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lrvmotion.checks.catalogue import SECTIONS, Code
from lrvmotion.config import reference

HEAD = """\
# Findings

<!-- Made of src/lrvmotion/checks/catalogue.py by `make docs`: edit it there. -->

`lrvmotion check`, `plan` and `migrate` show what they find, each finding with its stable code in brackets:
`[vm-snapshots]`; `lrvmotion explain vm-snapshots` prints what is said of it here. **E** is an error: nothing is moved,
exit status 3 (5 for `host-locked` and `relay-locked`). **W** is a warning: it is shown, and the move goes on. **I** is
information. Where a code has several, the middle column says when which.

What could not be read or measured has a code of its own, and is never taken for good.
"""


def checks() -> str:
    """Return the text of docs/checks.md: a table for each part of the catalogue, a row for each code."""
    lines = [HEAD]
    for code in Code:
        if code in SECTIONS:
            lines += ["", f"## {SECTIONS[code]}", "", "| code | | what | what to do |", "|---|---|---|---|"]
        letters = " ".join(severity[0].upper() for severity in code.severities)
        lines.append(f"| `{code}` | {letters} | {code.meaning} | {code.remedy} |")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


COMMANDS = """\
# Commands

<!-- Made of the commands themselves by `make docs`: edit their help texts. -->

"""
CONFIGURATION = """\
# Configuration

<!-- Made of src/lrvmotion/config/schema.py and the comments of examples/full.toml by `make docs`: edit them there. -->

`lrvmotion init` writes a first configuration; `examples/full.toml` has every key where it belongs, with a value.
`lrvmotion explain KEY` prints what stands here. A default of *none* means that the key may be left out; a key without a
default must be set.

| key | default | what it does |
| --- | --- | --- |
"""


def commands() -> str:
    """Return the text of docs/cli.md: what `--help` says of every command, wherever a terminal would break it."""
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "dumb", "COLUMNS": "120"}
    words = [sys.executable, "-m", "typer", "lrvmotion.cli", "utils", "docs", "--name", "lrvmotion"]
    made = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return COMMANDS + made.replace("\n# `", "\n## `").removeprefix("# `lrvmotion`\n\n").strip() + "\n"


def configuration() -> str:
    """Return the text of docs/configuration.md: a row for each key."""
    rows = []
    for one in reference.every_key():
        default = {"": "", "none": "*none*"}.get(one.default, f"`{one.default}`")
        rows.append(f"| `{one.key}` | {default} | {one.meaning.replace('|', chr(92) + '|')} |")
    return CONFIGURATION + "\n".join(rows) + "\n"


PAGES = {"checks.md": checks, "cli.md": commands, "configuration.md": configuration}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (Path(__file__).parent / name).write_text(page(), encoding="utf-8")
