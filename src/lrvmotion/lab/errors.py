"""What the lab says when it cannot be built: one sentence and one hint."""

from __future__ import annotations


class LabError(Exception):
    """Something the user can put right: *message* says what is wrong, *hint* what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
