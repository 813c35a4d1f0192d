"""Policy and health of the pool in one replica."""

from __future__ import annotations

from dataclasses import replace

from virtual_codec.serving import PoolPolicy, PoolState


def replica_policy(policy: PoolPolicy) -> PoolPolicy:
    """Policy of the pool in one replica, with the device and cores that Ray gives it."""
    devices = policy.devices
    if devices == "auto" and not policy.replicas.gpus:
        devices = "cpu"
    return replace(
        policy,
        devices=devices,
        workers_per_device=policy.workers_per_device or 1,
        cores=None if policy.cores is None else max(1, int(policy.replicas.cpus)),
        standby="off" if policy.standby == "auto" else policy.standby,
    )


def check_health(state: PoolState, policy: PoolPolicy, *, unready_s: float) -> None:
    """Raise `RuntimeError` for a pool whose supervision has failed, so that it makes no progress.

    A hanging worker is killed at its job's deadline, so no job should wait longer than a deadline and a start.
    """
    if unready_s > policy.start_timeout_s:
        raise RuntimeError(f"no worker was ready for {unready_s:.0f} seconds: {'; '.join(state.reasons)}")
    longest_s = policy.job_timeout_s + policy.hang_grace_s + policy.start_timeout_s
    if state.oldest_age_s > longest_s:
        raise RuntimeError(f"a job has waited for {state.oldest_age_s:.0f} seconds")
