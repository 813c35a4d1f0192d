"""Read-only endpoints: health, metrics, models, problems and the playground."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from importlib import resources
from typing import Final, final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from virtual_codec import __version__
from virtual_codec.api import problems
from virtual_codec.api._accept import choose
from virtual_codec.api._exchange import exchange_of
from virtual_codec.api._metrics import Metrics
from virtual_codec.api._playground import playground_page, sample_picture
from virtual_codec.api._policy import page_headers
from virtual_codec.errors import BadModel, Draining, ModelNotFound, NotFound, NoWorker, Unavailable
from virtual_codec.serving import Pool, PoolState
from virtual_codec.serving.catalogue import Catalogue
from virtual_codec.store import Manifest

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@final
class Drain:
    """Drain state: once it has begun, /readyz answers 503 while requests are still served."""

    def __init__(self) -> None:
        self.has_begun = False

    def begin(self) -> None:
        """Begin to drain: /readyz answers 503 from now on."""
        self.has_begun = True


@final
class Pages:
    """Read-only endpoints. They never queue."""

    def __init__(self, pool: Pool, catalogue: Catalogue, metrics: Metrics, drain: Drain, max_effort: int = 9) -> None:
        self._pool = pool
        self._catalogue = catalogue
        self._metrics = metrics
        self._drain = drain
        self._playground = playground_page(max_effort)
        self._sample = sample_picture()
        self._docs = resources.files("virtual_codec.api").joinpath("static", "docs.html").read_text(encoding="utf-8")

    async def playground(self, _request: Request) -> Response:
        """Playground page: compress and restore a picture in the browser."""
        return HTMLResponse(self._playground, headers=page_headers(self._playground, restores=True))

    async def sample(self, _request: Request) -> Response:
        """Sample picture of the playground: a lossless WebP in the public domain."""
        return Response(self._sample, media_type="image/webp", headers={"Cache-Control": "public, max-age=86400"})

    async def docs(self, _request: Request) -> Response:
        """Documentation page of /openapi.json."""
        return _page(self._docs)

    async def healthz(self, _request: Request) -> Response:
        """Liveness: 200 while the process runs."""
        return JSONResponse({"status": "alive", "version": __version__})

    async def readyz(self, request: Request) -> Response:
        """Readiness: 200 with a warm worker, a default model and no drain, else 503 with reasons."""
        state = self._pool.state()
        reasons = self._reasons(state)
        if reasons:
            about_to_stop = self._drain.has_begun or state.is_stopping
            error: Unavailable = (Draining if about_to_stop else NoWorker)("; ".join(reasons), retry_after_s=1.0)
            return problems.answer(request.scope, error, more={"reasons": reasons})
        default = self._catalogue.store.default
        return JSONResponse(
            {
                "status": "ready",
                "version": __version__,
                "model": {"id": default.id, "name": default.name},
                "models": [
                    {"id": model.id, "name": model.name, "state": model_state, "jobs": self._catalogue.jobs(model)}
                    for model in self._catalogue.models()
                    if (model_state := self._catalogue.state_of(model)) != "stored"
                ],
                "workers": [
                    {
                        "name": worker.name,
                        "device": worker.device,
                        "ready": worker.is_ready,
                        "jobs": worker.jobs,
                    }
                    for worker in state.workers
                ],
                "queue": {"items": state.queued_items, "estimated_wait_s": round(state.estimated_wait_s, 3)},
                "notes": {
                    **state.notes,
                    **{f"not ready: {text.partition(':')[0]}": text for text in state.reasons},
                    **{f"damaged: {name}": reason for name, reason in self._catalogue.store.damaged.items()},
                },
            }
        )

    async def metrics(self, _request: Request) -> Response:
        """Metrics in the Prometheus text format."""
        return Response(self._metrics.render(), media_type=_METRICS_TYPE)

    async def models(self, _request: Request) -> Response:
        """Models in the store. A retired one restores its streams but compresses with no codec."""
        return JSONResponse([describe_model(self._catalogue, model) for model in self._catalogue.models()])

    async def model(self, request: Request) -> Response:
        """Model with this name or id."""
        return JSONResponse(describe_model(self._catalogue, find_model(self._catalogue, request.path_params["model"])))

    async def problems(self, request: Request) -> Response:
        """Problems of this API, with their statuses."""
        exchange_of(request.scope).vary = "Accept"
        rows = sorted(problems.PROBLEMS.items(), key=lambda row: (row[1].status, row[0]))
        if _wants_page(request):
            return _page(_problem_index(rows))
        return JSONResponse([describe_problem(code, problem) for code, problem in rows])

    async def problem(self, request: Request) -> Response:
        """Problem with this code: its meaning and its remedy."""
        code = request.path_params["code"]
        problem = problems.PROBLEMS.get(code)
        if problem is None:
            raise NotFound(f"no problem {code[:40]!r}; /problems lists them")
        exchange_of(request.scope).vary = "Accept"
        if _wants_page(request):
            return _page(_problem_page(code, problem))
        return JSONResponse(describe_problem(code, problem))

    def _reasons(self, state: PoolState) -> list[str]:
        reasons = []
        if self._drain.has_begun or state.is_stopping:
            reasons.append("the service is about to stop")
        if not any(worker.is_ready for worker in state.workers):
            reasons += state.reasons or ["no worker has been started"]
        try:
            _ = self._catalogue.store.default
        except ModelNotFound as error:
            reasons.append(error.detail)
        return reasons


def find_model(catalogue: Catalogue, name_or_id: str) -> Manifest:
    """Model with this name or id. Raises `ModelNotFound`, for a damaged one too: the name came from the caller."""
    try:
        return catalogue.store.get(name_or_id)
    except BadModel as error:
        raise ModelNotFound(
            f"the model {name_or_id[:80]!r} is damaged and cannot be used; leave `model` out or name one of /models"
        ) from error


def describe_model(catalogue: Catalogue, model: Manifest) -> dict[str, object]:
    """Model as /models shows it."""
    return {
        "id": model.id,
        "name": model.name,
        "default": catalogue.is_active(model),
        "state": catalogue.state_of(model),
        "codecs": [] if model.retired else model.codecs,
        "scales": model.scales,
        "created": model.created,
        "metrics": model.metrics,
        "licence": model.licence,
        "data_licences": model.data_licences,
    }


def describe_problem(code: str, problem: problems.Problem) -> dict[str, object]:
    """Problem as /problems shows it."""
    return {
        "type": f"/problems/{code}",
        "code": code,
        "status": problem.status,
        "title": problem.title,
        "meaning": problem.meaning,
        "remedy": problem.remedy,
    }


def _wants_page(request: Request) -> bool:
    return choose(request.headers.getlist("accept"), ("application/json", "text/html")) == "text/html"


def _page(text: str) -> Response:
    return HTMLResponse(text, headers=page_headers(text))


def _problem_page(code: str, problem: problems.Problem) -> str:
    title, meaning, remedy = (html.escape(text) for text in (problem.title, problem.meaning, problem.remedy))
    remedy = re.sub(r"/(?:docs|models|problems)\b", r'<a href="\g<0>">\g<0></a>', remedy)
    remedy = re.sub("`([^`]+)`", r"<code>\1</code>", remedy)
    body = f"""<code>{problem.status} {html.escape(code)}</code>
<h1>{title}</h1>
<p>{meaning}</p>
<p>{remedy}</p>
<p><a href="/problems">All problems</a></p>"""
    return _shell(title, body)


def _problem_index(rows: Iterable[tuple[str, problems.Problem]]) -> str:
    lines = "\n".join(
        f'<li><code>{problem.status} <a href="/problems/{html.escape(code)}">{html.escape(code)}</a></code> '
        f"{html.escape(problem.title)}</li>"
        for code, problem in rows
    )
    return _shell("Problems", f"<h1>Problems</h1>\n<p>Errors that a request may end in.</p>\n<ul>\n{lines}\n</ul>")


def _shell(title: str, body: str) -> str:
    """HTML page with a title and a body, both escaped already."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
  body {{ font: 1.1rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 12vh auto; padding: 0 1.5rem }}
  :root {{ color-scheme: light dark }}
  code {{ opacity: .7 }}
  a {{ color: inherit }}
  ul {{ list-style: none; padding: 0 }}
</style>
{body}
</html>
"""
