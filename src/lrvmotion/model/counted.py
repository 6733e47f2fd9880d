"""Numbers with their nouns: what is one reads as one."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return "1 setting", "2 settings", "2 addresses"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith('s') else 's'}"


def remain_changed(settings: int) -> str:
    """Return "1 setting remains changed", "2 settings remain changed"."""
    return f"{counted(settings, 'setting')} {'remains' if settings == 1 else 'remain'} changed"
