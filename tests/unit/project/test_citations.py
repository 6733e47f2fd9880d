"""What the code cites is in the repository."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
CITED = re.compile(r"\b(vsphere|wan-and-relay)\.md (\d+(?:\.\d+)?)")


def cited():
    """Return (file, document, section) of every citation."""
    for folder in ("src", "tests", "benchmarks", "docs"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".md"} and path.parent.name != "reference":
                for document, section in CITED.findall(path.read_text()):
                    yield path.relative_to(ROOT), document, section


def test_every_citation_resolves():
    """A constant without a source at hand cannot be checked by whoever carries this on."""
    found = list(cited())
    assert len(found) > 60
    sections = {
        name: set(
            re.findall(r"^#+ (\d+(?:\.\d+)?)[. ]", (ROOT / f"docs/reference/{name}.md").read_text(), re.MULTILINE)
        )
        for name in ("vsphere", "wan-and-relay")
    }
    assert [row for row in found if row[2] not in sections[row[1]]] == []


def test_no_citation_is_of_a_document_that_is_not_here():
    """Not "reference 3.1", nor a section of a design that nobody has."""
    pattern = re.compile(r"(?<!API )\breference \d|design, section")
    bare = [path for path in (ROOT / "src").rglob("*.py") if pattern.search(path.read_text())]
    assert bare == []
