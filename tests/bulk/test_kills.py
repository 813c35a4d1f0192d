"""Runs that are killed with all their processes, and continued."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.bulk.runs import contents, make_images
from tests.conftest import ROOT

IMAGES = 60


def begin(source: Path, target: Path, log: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "service")])}
    command = [sys.executable, "-m", "tests.bulk.runs", str(source), str(target), str(log)]
    return subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True)


def finished(target: Path) -> int:
    return len(list(target.rglob("*.jpg")))


def test_three_kills_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    outputs = make_images(tmp_path / "source", IMAGES)
    target, log = tmp_path / "target", tmp_path / "jobs"
    chance = random.Random(22)  # noqa: S311
    for kill in range(1, 4):
        process = begin(tmp_path / "source", target, log)
        wanted = IMAGES // 5 * kill + chance.randrange(IMAGES // 6)
        give_up_at = time.monotonic() + 120
        while finished(target) < wanted and process.poll() is None and time.monotonic() < give_up_at:
            time.sleep(chance.uniform(0.001, 0.02))
        assert process.poll() is None, "it ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert {name: outputs[name] for name in contents(target)} == contents(target)  # whole, whatever the moment
    assert begin(tmp_path / "source", target, log).wait(120) == 0
    assert contents(target) == outputs
    assert not list((target / ".vcodec-bulk/parts").rglob("*.*"))
    logs = sorted((target / ".vcodec-bulk/manifest").iterdir())
    assert len(logs) == 4
    events = [json.loads(line) for path in logs for line in path.read_bytes().splitlines() if line.endswith(b"}")]
    done = [event["output"] for event in events if event["event"] == "done"]
    assert sorted(done) == sorted(outputs)
    # Of what was under way at a kill, at most what was on its way to the disk is done again.
    assert len(log.read_bytes().splitlines()) <= IMAGES + 3 * 8
