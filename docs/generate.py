"""Write docs/checks.md, which src/lrvmotion/checks/catalogue.py holds the text of: `make docs`."""

from __future__ import annotations

from pathlib import Path

from lrvmotion.checks.catalogue import SECTIONS, Code

HEAD = """\
# Findings

<!-- Made of src/lrvmotion/checks/catalogue.py by `make docs`: edit it there. -->

`lrvmotion check`, `plan` and `migrate` show what they find, each finding with its stable code in brackets:
`[vm-snapshots]`; `lrvmotion explain vm-snapshots` prints what is said of it here. **E** is an error: nothing is moved,
exit status 3 (5 for `host-locked` and `box-locked`). **W** is a warning: it is shown, and the move goes on. **I** is
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


if __name__ == "__main__":
    (Path(__file__).parent / "checks.md").write_text(checks(), encoding="utf-8")
