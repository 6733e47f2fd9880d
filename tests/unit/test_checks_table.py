"""docs/checks.md names every finding's code, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HOME = Path(__file__).parents[2]
CODE = re.compile(r"[a-z]+(-[a-z0-9]+)+")
MAKERS = {"finding", "Finding", "_finding", "_error", "_tell", "found"}
# Formed at run time: of a device's kind, and of where a VM was found.
FORMED = {"vm-passthrough", "vm-sriov", "vm-at-source", "vm-at-both", "vm-at-neither"}
WHOLE = ("checks/devices.py", "checks/compatibility.py", "checks/hosts.py", "vsphere/vm/precheck.py")


def codes(path: Path) -> set[str]:
    """Return the codes in *path*: every argument of what makes a finding; in some files all of that form with "vm-"."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name in MAKERS:
                given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "code")]
                found |= {item.value for item in given if isinstance(item, ast.Constant)}
        elif isinstance(node, ast.Constant) and str(path).endswith(WHOLE):
            found |= {node.value} if str(node.value).startswith(("vm-", "relocate-", "option-")) else set()
    return {code for code in found if isinstance(code, str) and CODE.fullmatch(code)}


def test_every_code_is_in_the_table_and_nothing_else():
    """A new check is documented with its severity before it is shown to anyone."""
    source = HOME / "src" / "lrvmotion"
    made = set().union(*(codes(path) for path in source.rglob("*.py") if "lab" not in path.parts)) | FORMED
    told = set()
    for line in (HOME / "docs" / "checks.md").read_text().splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert set(cells[1].split()) <= {"E", "W", "I"}, line
            assert cells[2], line
            told |= set(re.findall(r"`([^`]+)`", cells[0]))
    assert made - told == set(), "not in docs/checks.md"
    assert told - made == set(), "in docs/checks.md, and no check says it"
