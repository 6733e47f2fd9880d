"""What the program loads before it does anything."""

from __future__ import annotations

import re
import subprocess
import sys


def test_help_loads_the_commands_and_nothing_that_they_do():
    """Who completes a word or asks for help waits for it: what does the work is imported when it does it."""
    said = "import sys; from lrvmotion.cli import app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True).stdout.split()
    own = {name.split(".")[1] for name in loaded if name.startswith("lrvmotion.")}
    assert own == {"cli", "commands", "errors", "model", "run", "views"}
    lean = {name for name in loaded if re.match(r"lrvmotion\.(model|run|views)\.", name)}
    assert lean == {
        "lrvmotion.model.mode", "lrvmotion.run.interrupts", "lrvmotion.views.errors", "lrvmotion.views.text",
        "lrvmotion.views.text.streams",
    }  # fmt: skip
    assert not {"pyVmomi", "pydantic", "paramiko", "rich.live", "ssl"} & set(loaded)
