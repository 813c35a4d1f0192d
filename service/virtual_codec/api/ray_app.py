"""The service as an application of Ray Serve: this API behind Ray's proxy, over replicas of the codec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, final

from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from virtual_codec.api.app import create_service, pool_policy, worker_arguments
from virtual_codec.errors import BadModel
from virtual_codec.logs import configure
from virtual_codec.serving import OPEN_CODEC
from virtual_codec.serving._direct_replicas import DirectReplicas
from virtual_codec.serving._ray_calls import HandleReplicas
from virtual_codec.serving._ray_deployment import LOGGING, codec_application
from virtual_codec.serving._ray_pool import RayPool
from virtual_codec.serving._ray_replica import bind_to_node
from virtual_codec.settings import Settings
from virtual_codec.store import ModelStore

_REPLICA_COUNT: Final = 2  # with a single replica, an update of the application stops all requests for seconds
_MAX_REQUESTS: Final = 1000  # of one; the service's own admission refuses long before


def build_application(given: Mapping[str, Any]) -> Application:
    """Application of the settings in the environment, overridden by `given`. Raises `ValueError`, `BadModel`.

    `given["model"]`, a name or id, is the active model. An update that changes only the model restarts no replica.
    """
    settings = Settings.load(**{name: value for name, value in given.items() if name != "model"})
    store = ModelStore(settings.model_store, tolerant=True)
    arguments = worker_arguments(settings, settings.image_limits, store)
    codec = codec_application(OPEN_CODEC, arguments, pool_policy(settings))
    api = _DEPLOYMENT.options(user_config={"model": given["model"]}) if "model" in given else _DEPLOYMENT
    return api.bind(settings, arguments.get("model"), codec)


@final
class Api:
    """Ingress deployment. The ASGI application is built in the replica and never pickled."""

    def __init__(self, settings: Settings, model: str | None, codec: DeploymentHandle) -> None:
        configure(settings.log_level, "json" if settings.log_format == "auto" else settings.log_format)
        bind_to_node()
        arguments = {} if model is None else {"model": model}
        pool = RayPool(OPEN_CODEC, arguments, pool_policy(settings), replicas=DirectReplicas(HandleReplicas(codec)))
        self._service = create_service(settings, pool)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return self._service.app

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Make `user_config["model"]`, a name or id, the default model, once all replicas have it warm."""
        name = user_config.get("model")
        if not isinstance(name, str):
            raise BadModel(f"user_config must be {{'model': NAME}}, got {user_config!r:.80}")
        await self._service.catalogue.activate(name)


_DEPLOYMENT: Final = serve.deployment(serve.ingress()(Api)).options(
    name="api",
    num_replicas=_REPLICA_COUNT,
    max_ongoing_requests=_MAX_REQUESTS,
    ray_actor_options={"num_cpus": 0},
    logging_config=LOGGING,
)
