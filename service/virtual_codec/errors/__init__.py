"""Errors of the whole package, as one tree.

    VirtualCodecError
    ├── BadInput             the caller sent something that cannot be processed
    │   ├── EmptyInput  BadMultipart  MissingFile                                   request body
    │   ├── UnsupportedMediaType  UnsupportedEncoding  UnsupportedFormat            kind of body
    │   ├── HeadersTooLarge  BodyTooLarge  TooManyParts  FieldTooLarge              limits of requests
    │   ├── TooManyPixels  SideTooLong  TooManyScans  TooManySegments  ProfileTooLarge        of images
    │   ├── UndecodableImage  AnimatedImage  BadStream  UnknownStreamModel          contents
    │   ├── BadOption  UnreachableTarget  NotAcceptable                             options
    │   └── PoisonInput                                                             input that killed its workers
    ├── NotFound             a name that does not exist
    │   └── ModelNotFound
    ├── Unavailable          temporary; try again after `retry_after_s`
    │   ├── Overloaded  Draining  NoWorker
    │   ├── QuotaExceeded
    │   └── ServerUnreachable
    ├── Unauthorized  MethodNotAllowed  HeadersTimeout  BodyTimeout
    ├── DeadlineExceeded     the caller's deadline has passed
    ├── BadModel             a model folder is damaged or of an unknown kind
    └── BadTrainingData      a data folder without usable images

Each class has a stable, public `code`, which is documented under /problems/<code>. (The service never raises
BadTrainingData and ServerUnreachable, so their codes have no page.) Only `virtual_codec.api.problems` knows HTTP
statuses. A message says what was wrong and what would be right, and is safe to show to callers.
"""

from __future__ import annotations

from virtual_codec.errors._base import DeviceLost, VirtualCodecError, is_device_lost, is_out_of_memory
from virtual_codec.errors._input import (
    AnimatedImage,
    BadInput,
    BadMultipart,
    BadOption,
    BadStream,
    BodyTooLarge,
    EmptyInput,
    FieldTooLarge,
    HeadersTooLarge,
    MissingFile,
    NotAcceptable,
    PoisonInput,
    ProfileTooLarge,
    SideTooLong,
    TooManyParts,
    TooManyPixels,
    TooManyScans,
    TooManySegments,
    UndecodableImage,
    UnknownStreamModel,
    UnreachableTarget,
    UnsupportedEncoding,
    UnsupportedFormat,
    UnsupportedMediaType,
)
from virtual_codec.errors._service import (
    BadModel,
    BadTrainingData,
    BodyTimeout,
    DeadlineExceeded,
    Draining,
    HeadersTimeout,
    MethodNotAllowed,
    ModelNotFound,
    NotFound,
    NoWorker,
    Overloaded,
    QuotaExceeded,
    ServerUnreachable,
    Unauthorized,
    Unavailable,
)

__all__ = [
    "AnimatedImage",
    "BadInput",
    "BadModel",
    "BadMultipart",
    "BadOption",
    "BadStream",
    "BadTrainingData",
    "BodyTimeout",
    "BodyTooLarge",
    "DeadlineExceeded",
    "DeviceLost",
    "Draining",
    "EmptyInput",
    "FieldTooLarge",
    "HeadersTimeout",
    "HeadersTooLarge",
    "MethodNotAllowed",
    "MissingFile",
    "ModelNotFound",
    "NoWorker",
    "NotAcceptable",
    "NotFound",
    "Overloaded",
    "PoisonInput",
    "ProfileTooLarge",
    "QuotaExceeded",
    "ServerUnreachable",
    "SideTooLong",
    "TooManyParts",
    "TooManyPixels",
    "TooManyScans",
    "TooManySegments",
    "Unauthorized",
    "Unavailable",
    "UndecodableImage",
    "UnknownStreamModel",
    "UnreachableTarget",
    "UnsupportedEncoding",
    "UnsupportedFormat",
    "UnsupportedMediaType",
    "VirtualCodecError",
    "is_device_lost",
    "is_out_of_memory",
]
