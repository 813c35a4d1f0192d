"""Several recipes at the same time on one device, one process each, because one process cannot keep it busy."""

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

_POLL_S: Final = 0.5

Outcome = TrainReport | str


def train_side_by_side(recipes: Sequence[str], request: TrainRequest) -> list[TrainReport]:
    """Train recipes in parallel, each into OUT/RECIPE, and collect their averaged weights in OUT/weights.

    SIGINT and SIGTERM end all runs between two steps. Raises `BadOption` for a recipe given twice. If runs fail, the
    others go on to their ends; then `VirtualCodecError` with the messages of the failed runs is raised.
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
    outcomes = {name: _receive_outcome(results) for name, (_, results) in runs.items()}
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
    """Train in this process, print to OUT/output.txt, and send the report or an error message."""
    request.run.out.mkdir(parents=True, exist_ok=True)
    with Path(request.run.out / "output.txt").open("a", buffering=1) as output:
        sys.stdout = sys.stderr = output
        try:
            results.send(train(request))
        except VirtualCodecError as error:
            results.send(str(error))


def _wait_for_all(processes: Sequence[BaseProcess], interrupt: Interrupt) -> None:
    is_stopping = False
    while running := [process for process in processes if process.is_alive()]:
        wait([process.sentinel for process in running], timeout=_POLL_S)
        if interrupt.requested and not is_stopping:
            is_stopping = True
            for process in running:
                process.terminate()  # SIGTERM: the run writes its checkpoint and ends


def _receive_outcome(results: Connection) -> Outcome:
    try:
        outcome: Outcome = results.recv()
    except EOFError:
        return "its process died; see its output.txt"
    return outcome
