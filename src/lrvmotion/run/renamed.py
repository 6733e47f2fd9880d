"""Port groups of ours that seem renamed: gone by their name, while their vmknic is on another one; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lrvmotion.journal.changes import Outstanding
from lrvmotion.model.setting import ABSENT, SettingKey, Value


def renamed(item: Outstanding, outstanding: Iterable[Outstanding], read: Callable[[SettingKey], Value]) -> str | None:
    """Return what to do about *item*, a port group that seems renamed or a vmknic on it; None for anything else.

    *outstanding* is all that is, *read* gives a setting of the item's target as it is now.

    A standard port group has no identity but its name: HostPortGroup.key and its reference are made of it (vSphere API
    reference). A vmknic on another port group, where ours is gone, is all that can be seen. Once that vmknic was
    removed, nobody could tell any more that the port group is ours: so it stays, and both remain outstanding.
    """
    kind = item.key.kind.name
    if kind not in {"portgroup", "vmknic"}:
        return None
    ours = {one.key: one for one in outstanding if one.target == item.target}
    name = item.key.name if kind == "portgroup" else _group(item.planned[-1])
    if name is None or SettingKey.of("portgroup", name) not in ours:
        return None
    nics = [item] if kind == "vmknic" else [one for one in ours.values() if one.key.kind.name == "vmknic"]
    nics = [nic for nic in nics if _group(nic.planned[-1]) == name]
    if not nics or read(SettingKey.of("portgroup", name)) != ABSENT:
        return None
    for nic in nics:
        now = _group(read(nic.key))
        if now is not None and now != name:
            return (
                f"vmknic {nic.key.name} is on port group {now!r}, and {name} is gone: rename {now!r} back to {name}, "
                f"or remove the vmknic and what is left of the port group by hand; then restore again"
            )
    return None


def _group(value: Value) -> str | None:
    """Return the standard port group of a vmknic's *value*, None where it has none."""
    return value.as_document().get("portgroup") if value.type == "document" else None
