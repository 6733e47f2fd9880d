"""What a plan finds in a lab without a network, by the findings' codes."""

from __future__ import annotations

import json

from lab_client import Lab

ALWAYS = {"path-not-measured", "tags-not-read"}  # no network is emulated; tags need another API
VM = "vm1"


def findings(lab: Lab, *vms: str, mode: str = "stock") -> dict[str, dict]:
    """Return what `plan` finds besides what it always does, by code; the exit status must say the same."""
    done = lab.run("plan", "--mode", mode, *(vms or (VM,)), "--output", "json")
    document = json.loads(done.stdout.splitlines()[-1])
    found = {item["code"]: item for item in document["findings"] if item["code"] not in ALWAYS}
    refused = any(item["severity"] == "error" for item in found.values())
    assert done.returncode == (3 if refused else 0), done.stderr
    return found


def writes(lab: Lab) -> list[int]:
    """Return how often each vCenter was asked to change something."""
    return [lab.control(site, "calls")["writes"] for site in ("source", "target")]
