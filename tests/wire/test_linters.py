"""Format, lint, types and import contracts hold: they are tests like any other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
COMMANDS = {
    "ruff format": ["ruff", "format", "--check", "."],
    "ruff check": ["ruff", "check", "."],
    "mypy": ["mypy"],
    "import-linter": ["lint-imports"],
    "vermin": [
        "vermin",
        "-t=3.9-",
        "--no-tips",
        "--exclude",
        "os.splice",
        "src/lrvmotion/relay/relayd.py",
        "src/lrvmotion/relay/loadprobe.py",
    ],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_linter_is_content(name):
    """A linter that is not installed skips; in CI it fails."""
    program, *arguments = COMMANDS[name]
    if not (BIN / program).exists():
        if os.environ.get("CI"):
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([BIN / program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_help_is_quick_and_imports_nothing_heavy():
    """`lrvmotion --help` loads neither pyVmomi nor paramiko, pydantic nor rich."""
    code = (
        "import sys; from lrvmotion.cli import run; status = run(['--help']);"
        "heavy = {'pyVmomi', 'paramiko', 'pydantic', 'rich.live'} & sys.modules.keys(); assert not heavy, heavy;"
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "restore-defaults" in done.stdout
