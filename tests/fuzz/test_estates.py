"""An estate that somebody wrote or changed by hand: the lab builds it, or refuses it with the place and the cure."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path

import in_process_vcenter
from estates import estate
from fuzzing import bytes_of, dumped, json_of, subject
from lrvmotion.lab.estate import document as documents
from lrvmotion.lab.estate import layout
from lrvmotion.lab.estate.document import EstateError
from lrvmotion.model.estate import document

ESTATES = [document(estate(seed)) for seed in range(4)]


def built(text: str) -> None:
    """Build both vCenters of *text*, as `lab up` does, or be refused."""
    with suppress(EstateError):
        made = documents.parse(text, "estate.json")
        spec = layout.spec(made, "x", net=False, passwords=("a", "b"))
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / documents.FILE).write_text(json.dumps(made))
            for site in documents.SITES:
                in_process_vcenter.vcenter(spec, site, Path(folder))


@subject(json_of(*ESTATES))
def test_estate(content):
    """One of another shape."""
    built(dumped(content))


@subject(bytes_of(json.dumps(ESTATES[0])))
def test_estate_file(content):
    """One whose file was harmed."""
    file = Path(tempfile.gettempdir()) / "lrvmotion-fuzzed-estate.json"
    try:
        file.write_bytes(content)
        with suppress(EstateError):
            documents.read(file)
    finally:
        file.unlink()
