"""Root of the error tree."""

from __future__ import annotations

from typing import ClassVar


class VirtualCodecError(Exception):
    """Root of the error tree: a stable code, and the exceeded limit where there is one.

    `worker` is the name of the worker that raised it, if known; it is only logged. `request_id` is that of the server's
    answer, for errors that a client raises.
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

    def __reduce__(self) -> tuple[object, ...]:  # keyword arguments do not survive Exception's own pickling
        return (_rebuild, (type(self), self.detail, self.limit, self.actual, self.retry_after_s))


def is_out_of_memory(error: BaseException) -> bool:
    """True if memory ran out, of the machine or of a device. Libraries have no common exception for it."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # torch.OutOfMemoryError: a device's memory
        or any(words in str(error) for words in ("can't allocate memory", "bad_alloc"))
    )


class DeviceLost(RuntimeError):
    """The device's process has ended again and again while it worked on the same tile."""


def is_device_lost(error: BaseException) -> bool:
    """True if every later call to the device in this process will fail too: a CUDA error other than "out of memory"."""
    return isinstance(error, DeviceLost) or type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)


def _rebuild(
    kind: type[VirtualCodecError],
    detail: str,
    limit: float | None,
    actual: float | None,
    retry_after_s: float | None,
) -> VirtualCodecError:
    return kind(detail, limit=limit, actual=actual, retry_after_s=retry_after_s)
