"""Findings are made in checks/ alone, each with a code of the catalogue, of which docs/checks.md is made."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrvmotion.checks.catalogue import SECTIONS, Code

HOME = Path(__file__).parents[3]
SOURCE = HOME / "src" / "lrvmotion"
CHECKS = SOURCE / "checks"


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """Yield every module of the product and its syntax tree."""
    for path in SOURCE.rglob("*.py"):
        if "lab" not in path.parts:
            yield path, ast.parse(path.read_text())


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call in *tree* with the name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            yield function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", ""), node


def used(path: Path) -> set[str]:
    """Return the names of the codes that the module *path* names: `Code.NAME`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Code":
            found.add(node.attr)
    return found


def test_findings_are_made_in_checks_alone():
    """Who measures returns facts; what they mean is said where every other check is found."""
    made = {path.relative_to(SOURCE) for path, tree in trees() for name, _ in calls(tree) if name == "Finding"}
    assert made == {Path("checks/catalogue.py")}


def test_every_code_is_used_and_no_other():
    """A code that no check says is not documented; AttributeError would tell of one that is not in the catalogue."""
    modules = [path for path in CHECKS.glob("*.py") if path.name != "catalogue.py"]
    assert set().union(*map(used, modules)) == set(Code.__members__)
    assert len(list(CHECKS.glob("*.py"))) <= 16


@pytest.mark.parametrize("path", sorted(CHECKS.glob("*.py")), ids=lambda path: path.stem)
def test_a_severity_is_one_that_the_catalogue_names(path):
    """Wherever a code is named with its severity."""
    for name, call in calls(ast.parse(path.read_text())):
        function = call.func
        if name in {"error", "warning", "info"} and isinstance(function, ast.Attribute):
            code = function.value
            if isinstance(code, ast.Attribute) and isinstance(code.value, ast.Name) and code.value.id == "Code":
                assert name in Code[code.attr].severities, f"{code.attr} in line {call.lineno}"


def test_every_code_is_said_in_full():
    """Its own spelling, a severity at least, one line of what it means and one of what helps, fit for a table."""
    for code in Code:
        assert code.name == code.upper().replace("-", "_")
        assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", code)
        assert list(code.severities) == sorted(set(code.severities), key=["error", "warning", "info"].index)
        for text in (code.meaning, code.remedy):
            assert text
            assert not set(text) & set("\n|"), code
            assert not text.endswith(".")
    assert next(iter(Code)) in SECTIONS
