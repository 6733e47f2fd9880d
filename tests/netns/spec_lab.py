"""A lab of a specification of one's own, up while it is entered."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lab_client import Lab
from lrvmotion.lab import standard, world
from lrvmotion.lab.spec import LabSpec

# A process of its own, as the command is: what it starts outlives it.
UP = """
import os, sys
from pathlib import Path
from lrvmotion.lab import world
from lrvmotion.lab.spec import LabSpec
made, directory, config = map(Path, sys.argv[1:])
spec, owner = LabSpec.read(made), world.Owner.of(dict(os.environ))
world.up(spec, directory, owner, lambda _: None)
world.write_configuration(spec, directory, config, owner)
"""


class SpecLab(Lab):
    """The standard lab but for what *change* makes another of its specification."""

    def __init__(self, folder: Path, change: Callable[[LabSpec], LabSpec], *, name: str | None = None) -> None:
        super().__init__(folder, name=name)
        self._spec = change(standard.standard(self.name, net=True, passwords=world.new_passwords()))

    def __enter__(self):
        made = self.folder / "lab-spec.json"
        self._spec.write(made)
        words = [sys.executable, "-c", UP, str(made), str(self.directory), str(self.config)]
        subprocess.run(words, check=True, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
        return self
