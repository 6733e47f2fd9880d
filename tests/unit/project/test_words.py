"""One word per thing: what was replaced stays out of the source and the documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HERE = (*sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md")
REPLACED = {  # what is not to be written (a regular expression): what is written in its place
    r"\b(relay|near|far) box(es)?\b": "relay host",
    r"\bput back\b": "restored",
    r"\bstands? against\b": "blocks",
    r"\bsent again\b|\bresent\b": "retransmitted",
    r"\btaken up\b|\b[Tt]ake up (a|the) (last )?run\b": "resumed",
    r"\bvouches\b": "is trusted",
    r"\bcannot be proven\b": "cannot be verified",
    r"\banew\b": "again",
    r"\bstill changed\b": "remain changed, not restored",
    r"\bevery one is as wanted\b|\bas wanted\b": "already match",
    r"\bexactly this is done by\b": "to run exactly this plan",
    r"\bother than before\b": "changed",
    r"\blooks whether\b": "verifies",
    r"\bits own console shows\b": "the console's fingerprint",
    r"\bnothing more is started\b": "no further move starts",
    r"\bLEFT source\b": "NOT restored",
    r"\bnot ours to write\b": "no write permission",
    r"\bsay --\w+": "use --…",
    r"\b(led|gone|went|goes) (a)?round\b": "bypass",
    r"\b(Wish|Surroundings|Standing|Standby|Giver|Kept|Told|Baggage)\b(?= *[(:=\[])": "the class's new name",
}


@pytest.mark.parametrize("word", sorted(REPLACED), ids=lambda word: REPLACED[word])
def test_what_was_replaced_is_not_written_again(word):
    """In the source, the documents and README; docs/reference quotes others."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in HERE
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(word, line)
    ]
    assert found == [], f"write: {REPLACED[word]}"
