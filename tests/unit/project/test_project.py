"""The project holds its own rules."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_nobody_mocks():
    """A mock asserts what we believe; a fake or the lab asserts what is."""
    pattern = re.compile(r"^\s*(from|import)\s+(unittest\.mock|mock)\b|unittest\.mock import", re.MULTILINE)
    found = [path for path in (ROOT / "tests").rglob("*.py") if pattern.search(path.read_text())]
    assert found == []


def test_test_files_have_unique_names():
    """Import mode importlib keeps them apart, people do not."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)


def test_every_module_says_in_one_line_what_it_is():
    """The docstring's first line is the module's line in the map."""
    bare = [
        path
        for path in (ROOT / "src").rglob("*.py")
        if not re.match(r'(#![^\n]*\n)?"""[^\n]{10,}', path.read_text() or '"""an empty package"""')
    ]
    assert bare == []


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_the_documents_are_there(name):
    """And not empty."""
    assert len((ROOT / name).read_text()) > 500


def test_the_readme_names_every_exit_status():
    """The table is the contract, in the words of `lrvmotion explain`."""
    from lrvmotion.errors import ExitStatus

    rows = re.findall(r"^\| (\d+) \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows == [(str(int(status)), status.meaning) for status in ExitStatus]


def test_the_version_is_in_one_place():
    """And it is a version."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert re.fullmatch(r"\d+\.\d+\.\d+", content["project"]["version"])


def test_the_map_is_the_tree():
    """Someone new finds any behaviour from CONTRIBUTING.md: every module, with the first line of its docstring."""
    listed = (ROOT / "CONTRIBUTING.md").read_text()
    told = dict(re.findall(r"^ *([a-z_]+(?:\.py|/)) {2,}(.*)$", listed, re.MULTILINE))
    package = ROOT / "src" / "lrvmotion"
    wrong = []
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).parts
        if len(parts) > 1 and (parts[0] == "lab" and parts[1:] != ("__init__.py",)):
            continue  # one line for the whole of it: it has a map of its own
        name = f"{path.parent.name}/" if path.name == "__init__.py" and len(parts) > 1 else path.name
        line = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
        if name != "__init__.py" and f"{name} " not in listed.replace("\n", " \n"):
            wrong.append(f"{name} is not in the map")
        elif name != "__init__.py" and line not in listed:
            wrong.append(f"{name}: {told.get(name)!r} in the map")
    assert wrong == []


def test_the_lab_is_forbidden_all_of_the_product():
    """The contract's list is the tree's: a new package is a stranger to the lab from its first day."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = {one["id"]: one for one in content["tool"]["importlinter"]["contracts"]}
    package = ROOT / "src" / "lrvmotion"
    names = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(contracts["lab"]["forbidden_modules"]) == {
        f"lrvmotion.{name}" for name in names - {"__init__", "__main__", "lab"}
    }
