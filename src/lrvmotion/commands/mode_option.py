"""--mode, which plan and migrate share: what may be given, and that nothing else is."""

from __future__ import annotations

from lrvmotion.errors import UsageError
from lrvmotion.model.mode import MODE_CHOICES

CHOICES = " or ".join([", ".join(MODE_CHOICES[:-1]), MODE_CHOICES[-1]])


def known(mode: str | None) -> str | None:
    """Return *mode* where it is one; UsageError for anything else."""
    from lrvmotion.model.inventory import near

    if mode is not None and mode not in MODE_CHOICES:
        message = f"there is no mode {mode!r}"
        raise UsageError(message, hint=near(mode, MODE_CHOICES))
    return mode
