"""A report on a terminal: drawn as wide as the terminal is, with every value whole."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

import told
from lrvmotion.events import Left
from lrvmotion.journal.journal import Journal
from lrvmotion.model.setting import SettingKey
from lrvmotion.model.target_id import TargetId
from lrvmotion.report import run_history
from lrvmotion.views.report import html, markdown, terminal, wording
from lrvmotion.views.report.markdown import table

LONG = "/usr/local/lib/lrvmotion-djedyg/relay-12e3cb897b90.json"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_long_value_is_folded_and_never_cut(width):
    """A path or a sysctl that is cut off with an ellipsis cannot be looked for."""
    out = io.StringIO()
    page = "# Run x\n\n" + table(("target", "setting", "before"), [("relay/relay-a", LONG, "none"), ("esx", LONG, "1")])
    terminal.show(Console(file=out, width=width), page)
    drawn = out.getvalue()
    assert max(len(line) for line in drawn.splitlines()) <= width
    assert "…" not in drawn
    assert "| ---" not in drawn
    assert "# Run" not in drawn
    assert drawn.replace(" ", "").replace("\n", "").count(LONG[-10:]) >= 1


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_counts_what_was_restored_and_lists_what_was_not(tmp_path, width):
    """What still has to be done is not lost among what is done; a file, and --settings, have every setting."""
    told.run(tmp_path, told.usual())
    with Journal(tmp_path, lambda: "2026-11-24T08:00:00.000+00:00") as journal:
        journal.reverted(told.RUN, TargetId("source/a1"), told.OPTION, told.Value("long", 0))
    history = run_history.tell(told.records(tmp_path), told.RUN, told.kept(tmp_path))
    out = io.StringIO()
    page = markdown.report(history, width=width, folded=True)
    terminal.show(Console(file=out, width=width), page)
    assert max(len(line) for line in out.getvalue().splitlines()) <= width
    heading = next(line.split() for line in out.getvalue().splitlines() if line.split()[:2] == ["VM", "result"])
    assert set(heading) <= set(" ".join(wording.VM_HEAD).split())  # none is folded: what has no room is left out
    assert ("wave" in heading) == (width == 120)
    assert "3 settings on 2 hosts and 1 relay host: 1 restored, 2 not restored." in page
    assert "| source/a1 " not in page
    assert "| target/b1 " in page
    assert f"lrvmotion report {told.RUN} --settings" in page
    assert "| source/a1 " in markdown.report(history)
    assert "--settings" not in markdown.report(history)


def test_what_could_not_be_restored_is_named_as_everywhere_else(tmp_path):
    """A setting has its name for people there too, not the journal's key."""
    left = Left(target=TargetId("source/a1"), key=SettingKey("portgroup/lrvmotion-abc234-1"), reason="it is in use")
    told.run(tmp_path, [*told.usual(), (200.0, left)])
    history = run_history.tell(told.records(tmp_path), told.RUN, told.kept(tmp_path))
    for page in (markdown.report(history), html.report(history, [])):
        assert "port group lrvmotion-abc234-1" in page
        assert "portgroup/" not in page
