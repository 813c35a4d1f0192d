"""Limits and timeouts of a pool."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ReplicaPolicy:
    """Replicas of the pool `ray`: their cluster, resources and number.

    `address` is the address of a Ray cluster, as for `ray.init`; None starts a cluster on loopback. Ray reserves `cpus`
    and `gpus` for each replica; with less than 1 GPU, replicas share one. There are `least` replicas, and up to `most`
    if a new job would wait longer than `target_wait_s` seconds; None keeps `least`. Raises `ValueError` for values out
    of range.
    """

    address: str | None = None
    least: int = 1
    most: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    target_wait_s: float = 2.0

    def __post_init__(self) -> None:
        if self.least < 1 or (self.most is not None and self.most < self.least):
            raise ValueError(f"least must be at least 1 and not above most, got {self.least} and {self.most}")
        if self.cpus < 0 or self.gpus < 0 or self.target_wait_s <= 0:
            raise ValueError("cpus and gpus must be at least 0, and target_wait_s above 0")


@dataclass(frozen=True, kw_only=True)
class PoolPolicy:
    """Number of workers, their devices, and limits on waiting. Times in seconds.

    `devices` is "auto" or comma-separated names. If `workers_per_device` or `threads` is None, device, cores and memory
    decide. The workers on the CPU share `cores` cores, and each learns how many it may use at the moment; with None the
    cores are not shared out. `device_factory` is an import string `package.module:name` that opens a device process if
    several workers share a device other than the CPU; with None each worker opens the device itself. `queue_limit_s`
    bounds the estimated work in the queue for each thread, without running jobs. A worker is killed if one of its jobs
    is `hang_grace_s` past its deadline (a job without a deadline gets `job_timeout_s`), or if it takes more than
    `start_timeout_s` to open. `replicas` is for the pool `ray`. Raises `ValueError` for values out of range.
    """

    devices: str = "auto"
    workers_per_device: int | None = 1
    threads: int | None = None
    cores: int | None = None
    device_factory: str | None = None
    standby: Literal["auto", "on", "off"] = "auto"
    queue_limit_s: float = 15.0
    job_timeout_s: float = 600.0
    hang_grace_s: float = 20.0
    start_timeout_s: float = 300.0
    stop_grace_s: float = 30.0
    replicas: ReplicaPolicy = field(default_factory=ReplicaPolicy)

    def __post_init__(self) -> None:
        for name in ("queue_limit_s", "job_timeout_s", "hang_grace_s", "start_timeout_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("workers_per_device", "threads", "cores"):
            if (count := getattr(self, name)) is not None and count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
