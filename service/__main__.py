"""`vcodec`, which `python -m service` is too: Ctrl-C has its meaning before anything else is imported."""

from __future__ import annotations

import sys

from service import interrupts


def main() -> int:
    """Run the command line and return its exit status."""
    interrupts.starting()
    from service.cli import main as run

    status = run()
    interrupts.starting()
    return status


if __name__ == "__main__":
    sys.exit(main())
