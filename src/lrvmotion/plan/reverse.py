"""The way back of a run: the configuration with its sites swapped, and each VM's place where it came from."""

from __future__ import annotations

from collections.abc import Collection

from lrvmotion.config.schema import Config, Mappings, Relay, Relays
from lrvmotion.config.vm_csv import VmOverride
from lrvmotion.plan.plan_file import Saved


def config(forward: Config) -> Config:
    """Return *forward* with source and target swapped.

    The far relay becomes the near one, where there is one: proxy mode needs a relay at the site that sends. Mappings
    are left out: every VM goes back where it was (`overrides`).
    """
    far = forward.relay.target
    near = () if far is None else (Relay(**{name: getattr(far, name) for name in Relay.model_fields}),)
    relay = Relays(source=near, limit=forward.relay.limit, circuit_rate=forward.relay.circuit_rate)
    swapped = {"source": forward.target, "target": forward.source, "relay": relay, "mappings": Mappings()}
    return forward.model_copy(update=swapped)


def overrides(saved: Saved, names: Collection[str]) -> tuple[VmOverride, ...]:
    """Return of each of the VMs *names* of the plan *saved* where it goes back to, disk by disk.

    A VM is looked for by its instance UUID: it may have another name by now, and another VM its old one.
    """
    return tuple(
        VmOverride(
            vm=move.instance_uuid or move.vm,
            called=move.vm,
            target_host=move.source_host,
            cluster=move.source_cluster or None,
            folder=move.source_folder,
            datastore=move.source_home or next(iter(move.source_datastores), None),
            networks=tuple((card.label, card.source) for card in move.placement.nics if card.source),
            disks=tuple((disk.label, disk.source) for disk in move.placement.disks if disk.source),
            wave=move.wave,
            depends_on=move.depends_on,
        )
        for move in saved.content.migrations
        if move.vm in names
    )
