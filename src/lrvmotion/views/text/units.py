"""Numbers for people: bytes, rates, durations."""

from __future__ import annotations


def size(count: float) -> str:
    """Return *count* bytes in binary units: "1.5 GiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1023.95:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def rate(bps: float) -> str:
    """Return *bps* bit/s in decimal units: "823 Mbit/s"."""
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if abs(bps) < 999.5:  # what would be rounded to 1000 is 1 of the next unit
            return f"{bps:.0f} {unit}"
        bps /= 1000
    return f"{bps:.2f} Gbit/s"


def duration(seconds: float) -> str:
    """Return *seconds* as "0.4 s", "45 s", "3:07" or "1:02:33"."""
    return f"{seconds:.1f} s" if seconds < 9.95 else clock(seconds)


def clock(seconds: float) -> str:
    """Return whole *seconds* as "5 s", "3:07" or "1:02:33"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
