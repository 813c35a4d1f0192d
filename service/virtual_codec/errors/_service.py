"""Errors of everything but the input: names that do not exist, capacity, keys, time, models."""

from __future__ import annotations

from typing import final

from virtual_codec.errors._base import VirtualCodecError


class NotFound(VirtualCodecError):
    """Name that does not exist."""

    code = "not_found"


@final
class ModelNotFound(NotFound):
    """Model name or id that the store lacks."""

    code = "model_not_found"


class Unavailable(VirtualCodecError):
    """Temporary refusal; `retry_after_s` says when to try again."""

    code = "unavailable"


@final
class Overloaded(Unavailable):
    """Full queue: new work could not be done in time."""

    code = "overloaded"


@final
class Draining(Unavailable):
    """Draining service: it is about to stop and takes no new work."""

    code = "draining"


@final
class NoWorker(Unavailable):
    """No worker is ready."""

    code = "no_worker"


@final
class QuotaExceeded(Unavailable):
    """Quota of the caller, used up."""

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
    """Request head that arrived too slowly."""

    code = "headers_timeout"


@final
class BodyTimeout(VirtualCodecError):
    """Request body that arrived too slowly."""

    code = "body_timeout"


@final
class DeadlineExceeded(VirtualCodecError):
    """Deadline of the request, passed."""

    code = "deadline_exceeded"


@final
class BadModel(VirtualCodecError):
    """Model folder that is damaged, incomplete or of an unknown kind."""

    code = "bad_model"


@final
class BadTrainingData(VirtualCodecError):
    """Data folder without usable training or test images."""

    code = "bad_training_data"
