"""Endpoints of the files that restore pictures in a visitor's browser; see `virtual_codec.web`."""

from __future__ import annotations

import asyncio
from typing import Final, final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from virtual_codec.api._pages import find_model
from virtual_codec.errors import BadModel, ModelNotFound, NotFound
from virtual_codec.serving.catalogue import Catalogue
from virtual_codec.store import Manifest
from virtual_codec.web import SCRIPT, WebFile, WebSite, describe

_IMMUTABLE: Final = "public, max-age=31536000, immutable"
_REVALIDATED: Final = "no-cache"


@final
class WebFiles:
    """Endpoints of the site for browsers. None needs an API key."""

    def __init__(self, catalogue: Catalogue, site: WebSite) -> None:
        self._catalogue = catalogue
        self._site = site

    async def script(self, request: Request) -> Response:
        """Module `restore.js`, which restores pictures in the browser. Revalidated by its ETag."""
        file = self._script()
        headers = {"ETag": f'"{file.sha256[:32]}"', "Cache-Control": _REVALIDATED}
        if _is_known(request.headers, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)

    async def file(self, request: Request) -> Response:
        """File of one version of `restore.js`: its worker, its kernels, or a model's weights. Never changes."""
        path = f"{request.path_params['version']}/{request.path_params['name']}"
        file = await asyncio.to_thread(self._find, path)
        return Response(file.content, media_type=file.media_type, headers={"Cache-Control": _IMMUTABLE})

    async def model(self, request: Request) -> Response:
        """Files that restore a model's streams in the browser: paths, sizes and hashes."""
        model = find_model(self._catalogue, request.path_params["model"])
        files = await asyncio.to_thread(self._model_files, model)
        return JSONResponse(
            {
                "model": model.id,
                "version": self._site.version,
                "script": f"/web/{SCRIPT}",
                "files": [{**row, "path": f"/web/{row['path']}"} for row in describe(files)],
            }
        )

    def _script(self) -> WebFile:
        return self._site.script(self._default_id("jpeg"), self._default_id("avif"))

    def _default_id(self, codec: str) -> str:
        """Id of the model for files of other encoders, or "" where they stay plain. Streams name their models."""
        try:
            model = self._catalogue.store.default_of(codec)
        except ModelNotFound:
            return ""
        return model.id if codec in model.codecs else ""

    def _find(self, path: str) -> WebFile:
        for file in self._site.fixed_files():
            if file.path == path:
                return file
        for model in self._catalogue.models():
            for scale in model.scales:
                if path == f"{self._site.version}/{model.id}-{scale}.bin":
                    return self._weights(model, scale)
        raise NotFound(f"there is no file {path[:80]!r} for browsers; import /web/{SCRIPT} again")

    def _weights(self, model: Manifest, scale: int) -> WebFile:
        try:
            return self._site.weights(self._catalogue.store, model, scale)
        except BadModel as error:
            raise NotFound(f"model {model.name} has no files for browsers: {error.detail}") from error

    def _model_files(self, model: Manifest) -> list[WebFile]:
        weights = [self._weights(model, scale) for scale in model.scales]
        return [self._script(), *self._site.fixed_files(model), *weights]


def _is_known(headers: Headers, etag: str) -> bool:
    """True if the caller already has the file with this ETag (RFC 9110, section 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in headers.get("If-None-Match", "").split(",")]
    return etag in tags or tags == ["*"]
