"""Put the tables of measured JSON files into a page, between its markers: `<!-- NAME -->` and `<!-- /NAME -->`.

    python benchmarks/page.py docs/performance.md --relay relay.json --wan wan.json

Needs neither root nor the machine that measured. What no file is given for stays as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench import cells, fleets, forecasts, scale, table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--relay", type=Path, metavar="FILE", help="what relay.py --json wrote")
    parser.add_argument("--wan", type=Path, metavar="FILE", help="what wan.py --json wrote")
    parser.add_argument("--inventory", type=Path, metavar="FILE", help="what inventory.py --json wrote")
    parser.add_argument("--forecast", type=Path, metavar="FILE", help="what forecast.py --json wrote")
    parser.add_argument("--fleet", type=Path, metavar="FILE", help="what fleet.py --json wrote")
    given = parser.parse_args()
    text = given.page.read_text()
    try:
        for path, blocks in (
            (given.relay, relay_blocks), (given.wan, wan_blocks), (given.inventory, inventory_blocks),
            (given.forecast, forecast_blocks), (given.fleet, fleet_blocks),
        ):  # fmt: skip
            if path is not None:
                for name, body in blocks(json.loads(path.read_text())).items():
                    text = table.fill(text, name, body)
    except ValueError as error:
        print(f"{given.page}: {error}", file=sys.stderr)
        return 1
    given.page.write_text(text)
    return 0


def relay_blocks(document: dict[str, Any]) -> dict[str, str]:
    """Return the blocks of the unimpaired path by name."""
    path = table.cells_of(document)
    return {
        "relay-facts": table.facts_text(document) + f" {document['repeats']} repeats."
        f"{' ' + thrown if (thrown := table.thrown_text(document)) else ''}\n",
        "relay-cells": table.cells_table(path),
        "relay-bars": table.bars_table(table.bars(path)),
    }


def wan_blocks(document: dict[str, Any]) -> dict[str, str]:
    """Return the blocks of the circuit by name."""
    thrown = sum(sum(entry["thrown_away"].values()) for entry in document["cells"])
    kept = sum(sum(entry["runs"].values()) for entry in document["cells"])
    late = f" {kept} runs counted, {thrown} thrown away because the wire was late or a queue of its own overflowed.\n"
    return {
        "wan-facts": table.facts_text(document) + late,
        "wan-cells": cells.cells_table(document),
        "wan-extras": cells.extras_table(document),
        "wan-bars": table.bars_table(cells.bars(document)),
    }


def inventory_blocks(document: dict[str, Any]) -> dict[str, str]:
    """Return the blocks of the large inventory by name."""
    return {
        "inventory-facts": scale.facts(document),
        "inventory-figures": scale.figures(document),
        "inventory-bars": table.bars_table(scale.bars(document)),
    }


def fleet_blocks(document: dict[str, Any]) -> dict[str, str]:
    """Return the blocks of a fleet's run by name."""
    return {
        "fleet-facts": fleets.facts(document),
        "fleet-figures": fleets.figures(document),
        "fleet-bars": table.bars_table(fleets.bars(document)),
    }


def forecast_blocks(document: dict[str, Any]) -> dict[str, str]:
    """Return the blocks of the forecast by name."""
    found = forecasts.refreshed(document["cells"])
    return {
        "forecast-facts": forecasts.facts(found),
        "forecast-cells": forecasts.cells_table(found),
        "forecast-bars": table.bars_table(forecasts.bars(found)),
    }


if __name__ == "__main__":
    sys.exit(main())
