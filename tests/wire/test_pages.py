"""The pages that are made of the source are those of the source, and the site has no broken link."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_made_of_the_source(name):
    """Whoever changes a finding, an option or a key runs `make docs`."""
    assert (ROOT / "docs" / name).read_text() == PAGES[name]()


def test_the_site_is_built_without_a_warning(tmp_path):
    """A page that is not in the map, a link or an anchor that leads nowhere ends the build."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=tmp_path, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".site" / "guide" / "index.html").is_file()
