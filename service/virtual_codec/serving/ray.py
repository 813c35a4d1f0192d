"""Application for Ray Serve: `serve run virtual_codec.serving.ray:app`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from virtual_codec.serving import import_from_string

if TYPE_CHECKING:
    from ray.serve import Application

# In a higher package, so it is named here and not imported.
_APPLICATION_PATH: Final = "virtual_codec.api.ray_app:build_application"


def app(settings: Mapping[str, Any]) -> Application:
    """Build the HTTP service over replicas of the codec.

    `settings` are settings of the service by name, such as `ray_replicas=4`; they override the environment of the
    building process. `model=NAME` chooses the active model. Raises `ValueError` for wrong settings.
    """
    application: Application = import_from_string(_APPLICATION_PATH)(settings)
    return application
