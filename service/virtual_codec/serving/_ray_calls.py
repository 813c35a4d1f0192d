"""Calls to replicas through a handle of Ray Serve. Ray's errors are converted here."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, final

from ray.exceptions import NodeDiedError as NodeDied
from ray.exceptions import (
    ObjectLostError,
    RayActorError,
    RayError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    ReplicaUnavailableError,
)
from ray.serve.handle import DeploymentHandle

from virtual_codec.errors import NoWorker, Overloaded
from virtual_codec.logs import Event
from virtual_codec.serving._replicas import Call, Frame, ReplicaLost
from virtual_codec.serving._retries import internal_error

_LOG: Final = logging.getLogger(__name__)
_ASK_TIMEOUT_S: Final = 300.0
_LOST_REPLICA_ERRORS: Final = (
    RayActorError,
    WorkerCrashedError,
    NodeDied,
    ObjectLostError,
    TaskCancelledError,
    ReplicaUnavailableError,
)


@final
class HandleReplicas:
    """Replicas behind a handle."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def open(self) -> None:
        """Do nothing: the deployment exists."""

    async def close(self) -> None:
        """Do nothing: the deployment stays."""

    async def run(self, call: Call) -> Frame:
        """Run a job on the replica that Ray's router chooses."""
        response = self._handle.run.remote(call)
        try:
            head, body = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except _LOST_REPLICA_ERRORS as error:
            raise ReplicaLost(type(error).__name__) from error
        except BackPressureError as error:
            raise Overloaded("all replicas are busy", retry_after_s=error.retry_after_s or 1.0) from error
        except DeploymentUnavailableError as error:
            raise NoWorker("the replicas could not be started", retry_after_s=30.0) from error
        except (RayError, RayServeException) as error:
            _LOG.exception(Event("call_failed", request_id=call.request_id))
            raise internal_error() from error
        return head, body

    async def call_all(self, method: str, *arguments: object) -> list[Any]:
        """Call a method on every replica. Replicas that raise are logged and left out."""
        response = self._handle.broadcast(method, *arguments)
        answers = await response.results_async(timeout_s=_ASK_TIMEOUT_S, return_exceptions=True)
        for error in answers:
            if isinstance(error, _LOST_REPLICA_ERRORS):  # as at every change of the number of replicas
                _LOG.info(Event("replica_unanswered", method=method, reason=type(error).__name__))
            elif isinstance(error, BaseException):
                reason = str(error).strip().rpartition("\n")[2] or type(error).__name__
                _LOG.error(Event("replica_unanswered", method=method, reason=reason), exc_info=error)
        return [answer for answer in answers if not isinstance(answer, BaseException)]
