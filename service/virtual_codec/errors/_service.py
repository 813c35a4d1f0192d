"""Errors other than those of the input: unknown names, capacity, API keys, time, models."""

from __future__ import annotations

from typing import final

from virtual_codec.errors._base import VirtualCodecError


class NotFound(VirtualCodecError):
    """Name that does not exist."""

    code = "not_found"


@final
class ModelNotFound(NotFound):
    """Model name or id that is not in the store."""

    code = "model_not_found"


class Unavailable(VirtualCodecError):
    """Temporary refusal; `retry_after_s` says when to try again."""

    code = "unavailable"


@final
class Overloaded(Unavailable):
    """Full queue: a new job could not finish in time."""

    code = "overloaded"


@final
class Draining(Unavailable):
    """Draining service, which is shutting down and accepts no new jobs."""

    code = "draining"


@final
class NoWorker(Unavailable):
    """No worker is ready."""

    code = "no_worker"


@final
class QuotaExceeded(Unavailable):
    """Used-up quota of the caller."""

    code = "quota_exceeded"


@final
class ServerUnreachable(Unavailable):
    """Server that a client cannot reach, or that broke the connection."""

    code = "server_unreachable"


@final
class Unauthorized(VirtualCodecError):
    """API key that is required and missing or wrong."""

    code = "unauthorized"


@final
class MethodNotAllowed(VirtualCodecError):
    """HTTP method that the path does not support."""

    code = "method_not_allowed"


@final
class HeadersTimeout(VirtualCodecError):
    """Request headers that arrived too slowly."""

    code = "headers_timeout"


@final
class BodyTimeout(VirtualCodecError):
    """Request body that arrived too slowly."""

    code = "body_timeout"


@final
class DeadlineExceeded(VirtualCodecError):
    """Passed deadline of a request."""

    code = "deadline_exceeded"


@final
class BadModel(VirtualCodecError):
    """Model folder that is damaged, incomplete or of an unknown kind."""

    code = "bad_model"


@final
class BadTrainingData(VirtualCodecError):
    """Data folder without usable training or test images."""

    code = "bad_training_data"
