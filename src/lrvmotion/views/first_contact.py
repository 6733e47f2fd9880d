"""What init came to: what was written, what was mapped by name, and what wants a decision."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrvmotion.config.proposal import Introduction, Seen
from lrvmotion.views import results
from lrvmotion.views.first_configuration import kinds
from lrvmotion.views.text import console, words


def show(found: Introduction, path: Path) -> None:
    """Say what was written and what wants a decision."""
    to = console.out()
    to.print(f"{path} is written.", markup=False)
    for kind, names in kinds(found.proposal):
        if not names.guesses:
            continue
        matched = sum(guess.usable for guess in names.guesses)
        open_ones = len(names.guesses) - matched
        more = f", {open_ones} unmatched" if open_ones else ""
        to.print(f"  {kind}: {matched} of {len(names.guesses)} mapped by name{more}", markup=False)
    for name, seen in (("source", found.source), ("target", found.target)):
        count = sum(need.count for need in seen.needs)
        if count:
            needed = words.count(count, "address")
            to.print(f"  {name}: choose {needed} for the new vMotion vmknics of native mode", markup=False)
    option = "" if str(path) == "lrvmotion.toml" else f"--config {shlex.quote(str(path))} "
    to.print(f"Look through it, then: lrvmotion {option}check", markup=False)


def show_json(found: Introduction, path: Path) -> None:
    """Print what was written as one JSON document."""
    results.document(
        {
            "schema": 1,
            "file": str(path.absolute()),
            "source": _site_json(found.given["source"], found.source),
            "target": _site_json(found.given["target"], found.target),
            "relay_hosts": [
                {key: box.get(key) for key in ("name", "host", "port", "user", "host_key", "address")}
                | {"fingerprint": found.boxes[box["name"]]}
                for box in _boxes(found.given)
            ],
            "mappings": {
                kind: {
                    "mapped": {guess.source: guess.target for guess in names.guesses if guess.usable},
                    "unmatched": {guess.source: guess.target for guess in names.guesses if not guess.usable},
                    "choices": {guess.source: list(guess.choices) for guess in names.guesses if guess.choices},
                }
                for kind, names in kinds(found.proposal)
            },
        }
    )


def _site_json(given: Mapping[str, Any], seen: Seen) -> dict[str, Any]:
    there = seen.inventory
    return {
        "vcenter": given["vcenter"], "port": given.get("port", 443), "username": given["username"],
        "version": there.version, "build": there.build, "sha256": given["sha256"], "sha1": seen.sha1,
        "clusters": sorted({host.cluster for host in there.hosts}), "hosts": [host.name for host in there.hosts],
        "vms": len(there.vm_names),
        "addresses_needed": [{"subnet": need.subnet, "count": need.count} for need in seen.needs],
    }  # fmt: skip


def _boxes(given: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    relay = given.get("relay", {})
    return [*relay.get("source", ()), *([relay["target"]] if relay.get("target") else [])]
