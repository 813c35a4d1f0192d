"""Ray Serve deployment of the codec's replicas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from virtual_codec.serving import PoolPolicy
from virtual_codec.serving._ray_autoscaling import WaitPolicy
from virtual_codec.serving._ray_replica import CodecReplica

NAME: Final = "codec"
_MAX_CALLS: Final = 1000  # admission in the API process refuses calls long before this
_HEALTH_PERIOD_S: Final = 5.0
_HEALTH_TIMEOUT_S: Final = 20.0
_MAX_STARTS: Final = 3
_UPSCALE_DELAY_S: Final = 5.0
_DOWNSCALE_DELAY_S: Final = 120.0  # a replica takes seconds to start, so an idle one stays for a while
_LOOK_BACK_S: Final = 5.0


def codec_application(worker_factory: str, arguments: Mapping[str, object], policy: PoolPolicy) -> Application:
    """Ray Serve application of the replicas alone. The arguments are those of `virtual_codec.serving.open_pool`."""
    replicas = policy.replicas
    options: dict[str, Any] = {
        "name": NAME,
        "max_ongoing_requests": _MAX_CALLS,
        "health_check_period_s": _HEALTH_PERIOD_S,
        "health_check_timeout_s": _HEALTH_TIMEOUT_S,
        "graceful_shutdown_wait_loop_s": 0.5,
        "graceful_shutdown_timeout_s": policy.stop_grace_s + 5.0,
        "max_constructor_retry_count": _MAX_STARTS,
        "ray_actor_options": {"num_cpus": replicas.cpus, "num_gpus": replicas.gpus},
        "logging_config": LOGGING,
    }
    if replicas.most is None or replicas.most == replicas.least:
        options["num_replicas"] = replicas.least
    else:
        options["autoscaling_config"] = _autoscaling(policy, replicas.least, replicas.most)
    return serve.deployment(CodecReplica).options(**options).bind(worker_factory, dict(arguments), policy)


def _autoscaling(policy: PoolPolicy, least: int, most: int) -> AutoscalingConfig:
    threads = policy.threads or 1
    wait = {"target_wait_s": policy.replicas.target_wait_s, "threads": threads}
    return AutoscalingConfig(
        min_replicas=least,
        max_replicas=most,
        upscale_delay_s=_UPSCALE_DELAY_S,
        downscale_delay_s=_DOWNSCALE_DELAY_S,
        look_back_period_s=_LOOK_BACK_S,
        policy=AutoscalingPolicy(policy_function=WaitPolicy, policy_kwargs=wait),
    )


LOGGING: Final = {"log_level": "WARNING", "enable_access_log": False}
