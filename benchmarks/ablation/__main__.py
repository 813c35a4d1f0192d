"""Ablation of the description network and of parts of its training, with small networks in a dozen variants.

    python -m benchmarks.ablation --data photos/ --test tests/ --out docs/ablation --runs runs/ablation

trains each row of `variants.VARIANTS` with the same number of post-processing steps, measures all of them on the
folders of `--test`, and writes README.md, its plots and a sheet of descriptions into `--out`. It may be stopped at
any time, or with --time-limit, and goes on where it stopped. One thread; an hour and a half of one core for it all.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from benchmarks.ablation.measuring import measure_all
from benchmarks.ablation.report import write_report
from benchmarks.ablation.training import train
from benchmarks.ablation.variants import BASE, FULL_SIZE, VARIANTS, Budget, base_config
from virtual_codec.evaluation.pictures import find_pictures
from virtual_codec.training.data import Pictures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of training photographs")
    parser.add_argument("--test", type=Path, required=True, help="folder that contains the folders of test pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/ablation"), help="folder of checkpoints and measurements"
    )
    parser.add_argument("--sets", nargs="+", default=["kodak", "live1"], help="folders of --test")
    parser.add_argument(
        "--pictures", type=int, metavar="N", help="at most N pictures of each set, evenly spread (default: all)"
    )
    parser.add_argument(
        "--full-size",
        type=Path,
        metavar="RUNS",
        help="folder of the finished runs wider-2 and lanczos-2, to be measured too",
    )
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument(
        "--base-steps",
        type=int,
        default=1200,
        help="steps of the base post-processing, which all variants share (default 1200)",
    )
    parser.add_argument(
        "--steps", type=int, default=1000, help="steps of post-processing in each variant (default 1000)"
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        default=float("inf"),
        metavar="SECONDS",
        help="time limit of training in seconds (default: none)",
    )
    parser.add_argument("--only", choices=["train", "measure", "report"], help="do only this part (default: all)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    budget = Budget(base=given.base_steps, more=given.steps)
    deadline = time.monotonic() + given.time_limit
    finished = list(given.variants)
    journal = given.runs / "points.csv"
    if given.only in (None, "train"):
        pictures = Pictures(given.data, smallest=base_config(budget).crop)
        finished = []
        if train(BASE, budget, pictures, given.runs, deadline):
            finished = [name for name in given.variants if train(name, budget, pictures, given.runs, deadline)]
    if given.only in (None, "measure"):
        for name in given.sets:
            test_pictures = find_pictures(given.test / name, per_set=given.pictures)
            for variant in [*finished, *(FULL_SIZE if given.full_size else ())]:
                measure_all(variant, given.runs, given.full_size, test_pictures, journal)
    if given.only in (None, "report"):
        write_report(journal, given.runs, given.full_size, given.out, budget)
    return 0 if len(finished) == len(given.variants) else 1


if __name__ == "__main__":
    raise SystemExit(main())
