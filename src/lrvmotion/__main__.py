"""python -m lrvmotion, and the installed command."""

from __future__ import annotations


def main() -> None:
    """Run the CLI and exit with its status."""
    from lrvmotion.run.interrupts import Interrupts

    interrupts = Interrupts()
    interrupts.take()
    with interrupts.counted():  # until the command begins: before that nobody could say that it was interrupted
        from lrvmotion.views.text import streams

        streams.guard()
        from lrvmotion.cli import run

        raise SystemExit(run(interrupts=interrupts))


if __name__ == "__main__":
    main()
