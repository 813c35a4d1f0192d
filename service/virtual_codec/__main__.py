"""Entry point of `vcodec` and `python -m virtual_codec`. It handles Ctrl-C before anything else is imported."""

from __future__ import annotations

import sys

from virtual_codec import interrupts


def main() -> int:
    """Run the command line and return its exit status."""
    interrupts.exit_at_once()
    from virtual_codec.cli import main as run

    status = run()
    interrupts.exit_at_once()
    return status


if __name__ == "__main__":
    sys.exit(main())
