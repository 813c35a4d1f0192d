"""Several recipes at the same time on one device, a process each: one process alone cannot launch work fast enough."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from virtual_codec.errors import BadOption, VirtualCodecError
from virtual_codec.training import TrainReport, TrainRequest, train
from virtual_codec.training.interrupt import Interrupt
from virtual_codec.training.run_weights import WEIGHTS, collect_weights
from virtual_codec.training.weights import is_weights_folder

_LOOK_EVERY_S: Final = 0.5

Outcome = TrainReport | str


def train_side_by_side(recipes: Sequence[str], request: TrainRequest) -> list[TrainReport]:
    """Run recipes as `train` does, each into OUT/RECIPE, and collect their averaged weights in OUT/weights.

    SIGINT and SIGTERM end all of them between two steps. Raises `BadOption` for a recipe given twice, and
    `VirtualCodecError` with the messages of runs that failed, after the others are through.
    """
    if len(set(recipes)) < len(recipes):
        raise BadOption(f"each recipe runs once, got {', '.join(recipes)}")
    out = request.run.out
    out.mkdir(parents=True, exist_ok=True)
    interrupt = Interrupt()
    with interrupt.watching():
        runs = {
            name: _start(replace(request, recipe=name, run=replace(request.run, out=out / name))) for name in recipes
        }
        _wait_for_all([process for process, _ in runs.values()], interrupt)
    outcomes = {name: _received(results) for name, (_, results) in runs.items()}
    collect = [out / name / WEIGHTS for name in recipes if is_weights_folder(out / name / WEIGHTS)]
    if collect:
        collect_weights(collect, out / WEIGHTS)
    failed = [f"{name}: {outcome}" for name, outcome in outcomes.items() if isinstance(outcome, str)]
    if failed:
        raise VirtualCodecError("; ".join(failed))
    return [outcome for outcome in outcomes.values() if isinstance(outcome, TrainReport)]


def _start(request: TrainRequest) -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(request, sending), name=request.recipe)
    process.start()
    sending.close()
    return process, receiving


def _run(request: TrainRequest, results: Connection) -> None:
    """Train in this process, with what it prints in OUT/output.txt, and send the report or an error's message."""
    request.run.out.mkdir(parents=True, exist_ok=True)
    with Path(request.run.out / "output.txt").open("a", buffering=1) as output:
        sys.stdout = sys.stderr = output
        try:
            results.send(train(request))
        except VirtualCodecError as error:
            results.send(str(error))


def _wait_for_all(processes: Sequence[BaseProcess], interrupt: Interrupt) -> None:
    told = False
    while running := [process for process in processes if process.is_alive()]:
        wait([process.sentinel for process in running], timeout=_LOOK_EVERY_S)
        if interrupt.requested and not told:
            told = True
            for process in running:
                process.terminate()  # SIGTERM, at which a run writes its checkpoint


def _received(results: Connection) -> Outcome:
    try:
        outcome: Outcome = results.recv()
    except EOFError:
        return "its process died; its output.txt says more"
    return outcome
