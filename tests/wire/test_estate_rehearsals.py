"""Inventory, lab, inventory: the same document; a plan made in a rehearsal is that of the vCenters it was read from."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

import in_process_vcenter
from estates import SEEDS, estate
from lrvmotion.config.schema import parse
from lrvmotion.lab.estate import document as documents
from lrvmotion.lab.estate import layout
from lrvmotion.model.estate import Estate, document, in_order
from lrvmotion.plan.placer import Placer
from lrvmotion.report.anonymous_estate import anonymous
from lrvmotion.vsphere.inventory.collect import collect_names
from lrvmotion.workflows import estate_survey

CONFIG = {site: {"vcenter": site, "username": "u"} for site in ("source", "target")}
# A seed that is shrunk says nothing: another seed is another estate.
RULES = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "phases": [Phase.explicit, Phase.generate]}


class Connections:
    """What the survey asks of a command's connections, over vCenters in this process."""

    def __init__(self, folder: Path) -> None:
        spec = layout.spec(documents.read(folder / documents.FILE), "t", net=False, passwords=("a", "b"))
        self.sessions = {}
        for site in ("source", "target"):
            (folder / site).mkdir()
            self.sessions[site] = in_process_vcenter.session(in_process_vcenter.vcenter(spec, site, folder), site)
        self.inventories = {}

    def session(self, site):
        return self.sessions[site]

    def inventory(self, site):
        return self.inventories.setdefault(site, collect_names(self.sessions[site]))


def rehearsed(text: str) -> Estate:
    """Return what the product reads of the vCenters that the lab builds from the document *text*."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / documents.FILE).write_text(text)
        return estate_survey.read(Connections(Path(folder)), lambda *_: None)


def written(made: Estate) -> str:
    return json.dumps(document(made), indent=1, ensure_ascii=False)


@settings(max_examples=25, **RULES)
@given(SEEDS)
def test_inventory_lab_inventory_is_the_same_document(seed):
    """Every name, reference, size, option and uplink; whatever the product reads, the lab has as it was."""
    text = written(estate(seed))
    assert written(rehearsed(text)) == text


@settings(max_examples=10, **RULES)
@given(SEEDS)
def test_an_anonymous_estate_stays_itself_too(seed):
    """Rehearsed and made anonymous again, it has the same words: a bug report and its rehearsal speak of one thing."""
    hidden = anonymous(estate(seed))
    again = rehearsed(written(hidden))
    assert written(anonymous(again)) == written(hidden)


@settings(max_examples=10, **RULES)
@given(SEEDS)
def test_placements_of_the_rehearsal_are_those_of_the_estate(seed):
    """Where each VM would go, and what is found about it."""
    made = in_order(estate(seed))
    again = in_order(rehearsed(written(made)))
    config = parse(CONFIG)
    before, after = (Placer(config, one.source.inventory, one.target.inventory) for one in (made, again))
    vms = {vm.ref: vm for vm in again.source.inventory.vms}
    for vm in made.source.inventory.vms:
        assert after.place(vms[vm.ref]) == before.place(vm)
