"""Run a benchmark in its shortest whole form, a process of its own; put what it wrote into a copy of the page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HOME = Path(__file__).parents[2]
FOLDER = HOME / "benchmarks"
LONGEST_S = 540  # of a machine that does much else: a benchmark that hangs ends here


def smoke(name: str, folder: Path) -> dict[str, Any]:
    """Run `NAME.py --smoke`, then `page.py` over a copy of docs/performance.md; return the document it wrote."""
    path, page = folder / f"{name}.json", folder / "performance.md"
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), "--smoke", "--json", str(path)],
        capture_output=True, text=True, check=False, timeout=LONGEST_S, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "|---" in done.stdout, "no table was printed"
    document: dict[str, Any] = json.loads(path.read_text())
    shutil.copy(HOME / "docs" / "performance.md", page)
    before = page.read_text()
    command = [sys.executable, str(FOLDER / "page.py"), str(page), f"--{name}", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_S)
    assert told.returncode == 0, told.stderr[-2000:]
    blocks = re.compile(rf"<!-- ({name}-\w+) -->\n(.*?)<!-- /\1 -->\n", re.DOTALL)
    old, new = dict(blocks.findall(before)), dict(blocks.findall(page.read_text()))
    assert old.keys() == new.keys()
    assert all(text.strip() for text in new.values()), "a block of the page is empty"
    assert new != old
    assert blocks.sub("", before) == blocks.sub("", page.read_text()), "a block of another benchmark was changed"
    return document
