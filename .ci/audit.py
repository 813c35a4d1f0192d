"""Look for known holes in what docker/requirements-cuda.lock pins. Exit status 1 where there are any.

pip-audit answers 0 as well when it could look nothing up, as behind a mirror that has packages but no advisories.
That is no clean bill, so it is said in a line of its own; --require turns it into exit status 2.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parent.parent / "docker" / "requirements-cuda.lock"


def main() -> int:
    """Run pip-audit and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--require", action="store_true", help="fail where the advisories cannot be had")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--require-hashes", "--disable-pip"]
    run = subprocess.run(
        [*command, "--format", "json", "--progress-spinner", "off"], capture_output=True, text=True, check=False
    )
    return report(run.stdout, run.stderr, require=arguments.require)


def report(output: str, errors: str, *, require: bool) -> int:
    """Say what pip-audit found, and return the exit status."""
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        reason = (errors.strip().splitlines() or ["no answer"])[-1][:300]
        print(f"audit: SKIPPED, nothing was looked up: {reason}")
        return 2 if require else 0
    looked_up = [package for package in packages if "skip_reason" not in package]
    holes = [(package, hole) for package in looked_up for hole in package["vulns"]]
    for package, hole in holes:
        fixed = ", ".join(hole["fix_versions"]) or "no release yet"
        print(f"audit: {package['name']} {package['version']}: {hole['id']}, corrected in {fixed}")
    if not looked_up:
        print(f"audit: SKIPPED, no advisories can be had from here for any of {len(packages)} packages")
        return 2 if require else 0
    print(f"audit: {len(holes)} known holes in {len(looked_up)} of {len(packages)} packages; the others have no entry")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
