"""Calls through a handle of Ray Serve, with a handle that answers as told. Ray is imported by another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
]

SCRIPT = """
import asyncio, json, logging
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from virtual_codec.jobs import CompressOptions, Job
from virtual_codec.serving._ray_calls import HandleReplicas
from virtual_codec.serving._replicas import Call

class Answers:
    def __init__(self, *answers):
        self.answers = answers
    async def results_async(self, *, timeout_s, return_exceptions):
        return self.answers
    def __await__(self):
        yield from ()
        if isinstance(self.answers[0], BaseException):
            raise self.answers[0]
        return self.answers[0]

class Handle:
    def __init__(self, *answers):
        self.answers = Answers(*answers)
        self.run = self
    def remote(self, call):
        return self.answers
    def broadcast(self, method, *arguments):
        return self.answers

class Lines(logging.Handler):
    def emit(self, record):
        told.append([record.levelname, record.getMessage(), bool(record.exc_info)])

told = []
log = logging.getLogger("virtual_codec")
log.setLevel(logging.INFO)
log.addHandler(Lines())
asked = HandleReplicas(Handle("one", RayActorError(), ValueError("a fault"), "two"))
answers = asyncio.run(asked.call_all("warm_model", "a"))
raised = {}
for error in (RayActorError(), BackPressureError(num_queued_requests=3, max_queued_requests=2)):
    try:
        asyncio.run(HandleReplicas(Handle(error)).run(Call.of(Job(data=b"x", options=CompressOptions()), 6)))
    except Exception as found:
        raised[type(error).__name__] = type(found).__name__
print(json.dumps({"answers": answers, "told": told, "raised": raised}))
"""


def test_exceptions_of_replicas_are_logged_and_the_other_answers_are_kept() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    said = json.loads(ended.stdout)
    assert said["answers"] == ["one", "two"]
    (lost, lost_text, _), (fault, fault_text, has_traceback) = said["told"]
    assert (lost, fault, has_traceback) == ("INFO", "ERROR", True)
    assert "replica_unanswered" in lost_text
    assert "warm_model" in fault_text
    assert "a fault" in fault_text
    assert said["raised"] == {"RayActorError": "ReplicaLost", "BackPressureError": "Overloaded"}
