"""A report on a terminal: drawn as wide as the terminal is, with every value whole."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from lrvmotion.views.report import terminal
from lrvmotion.views.report.markdown import table

LONG = "/usr/local/lib/lrvmotion-djedyg/relay-12e3cb897b90.json"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_long_value_is_folded_and_never_cut(width):
    """A path or a sysctl that is cut off with an ellipsis cannot be looked for."""
    out = io.StringIO()
    page = "# Run x\n\n" + table(("target", "setting", "before"), [("box/relay-a", LONG, "none"), ("esx", LONG, "1")])
    terminal.show(Console(file=out, width=width), page)
    drawn = out.getvalue()
    assert max(len(line) for line in drawn.splitlines()) <= width
    assert "…" not in drawn
    assert "| ---" not in drawn
    assert "# Run" not in drawn
    assert drawn.replace(" ", "").replace("\n", "").count(LONG[-10:]) >= 1
