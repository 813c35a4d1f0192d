"""Root of the error tree."""

from __future__ import annotations

from typing import ClassVar


class VirtualCodecError(Exception):
    """Root of the error tree, with a stable code and the exceeded limit, if any.

    `worker` is the name of the worker that raised the error, if known; it is only logged. `request_id` is the request
    id of the server's answer, for errors that a client raises.
    """

    code: ClassVar[str] = "internal"

    def __init__(
        self,
        detail: str = "",
        *,
        limit: float | None = None,
        actual: float | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.limit = limit
        self.actual = actual
        self.retry_after_s = retry_after_s
        self.worker = ""
        self.request_id = ""

    def __reduce__(self) -> tuple[object, ...]:  # Exception's own pickling loses keyword arguments
        return (_rebuild, (type(self), self.detail, self.limit, self.actual, self.retry_after_s))


def is_out_of_memory(error: BaseException) -> bool:
    """True if the machine or a device ran out of memory. Libraries have no common exception for this."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # torch.OutOfMemoryError: a device's memory
        or any(words in str(error) for words in ("can't allocate memory", "bad_alloc"))
    )


class DeviceLost(RuntimeError):
    """The device process ended repeatedly while it ran the same tile."""


def is_device_lost(error: BaseException) -> bool:
    """True for a CUDA error other than "out of memory": all later calls to the device in this process fail too."""
    return isinstance(error, DeviceLost) or type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)


def _rebuild(
    kind: type[VirtualCodecError],
    detail: str,
    limit: float | None,
    actual: float | None,
    retry_after_s: float | None,
) -> VirtualCodecError:
    return kind(detail, limit=limit, actual=actual, retry_after_s=retry_after_s)
