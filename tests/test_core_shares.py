"""Shares of the cores, by the jobs of several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from virtual_codec.core_shares import CorePlace, CoreShares, clear_place, create_table

BUSY_FOR_EVER = """
import sys, time
from pathlib import Path
from virtual_codec.core_shares import CorePlace, CoreShares
with CoreShares(CorePlace(path=Path(sys.argv[1]), place=1, cores=4)).job():
    print("busy", flush=True)
    time.sleep(60)
"""


def places(folder: Path, count: int, cores: int) -> list[CorePlace]:
    create_table(folder / "cores", count)
    return [CorePlace(path=folder / "cores", place=index, cores=cores) for index in range(count)]


def test_cores_are_shared_in_proportion_to_running_jobs(tmp_path: Path) -> None:
    one, two, _ = (CoreShares(place) for place in places(tmp_path, 3, 8))
    assert one.usable == 8
    with one.job():
        assert one.usable == 8
        with two.job():
            assert (one.usable, two.usable) == (4, 4)
            with one.job(), one.job():
                assert (one.usable, two.usable) == (6, 2)
        assert one.usable == 8


def test_every_process_has_at_least_one_core(tmp_path: Path) -> None:
    shares = [CoreShares(place) for place in places(tmp_path, 5, 2)]
    with shares[0].job(), shares[1].job(), shares[2].job(), shares[3].job():
        assert [share.usable for share in shares] == [1, 1, 1, 1, 1]


def test_jobs_of_a_process_that_died_count_until_its_place_is_cleared(tmp_path: Path) -> None:
    first, second = places(tmp_path, 2, 4)
    shares = CoreShares(first)
    with subprocess.Popen([sys.executable, "-c", BUSY_FOR_EVER, second.path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"busy\n"
        process.kill()
    with shares.job():
        assert shares.usable == 2
        clear_place(second)
        assert shares.usable == 4
