"""python -m lrvmotion, and the installed command."""

from __future__ import annotations


def main() -> None:
    """Run the CLI and exit with its status."""
    from lrvmotion.views import streams

    streams.guard()
    from lrvmotion.cli import run

    raise SystemExit(run())


if __name__ == "__main__":
    main()
