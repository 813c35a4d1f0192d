"""Metrics that are read at each scrape: pool, models, build."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from virtual_codec import __version__
from virtual_codec.api._batches import runner_metrics
from virtual_codec.api._budget import ByteBudget
from virtual_codec.serving import PoolState
from virtual_codec.serving.catalogue import Catalogue


@final
class StateCollector(Collector):
    """Collector of the pool's state, the models' states and the build."""

    def __init__(
        self,
        catalogue: Catalogue,
        pool: Callable[[], PoolState],
        is_draining: Callable[[], bool],
        queue_limit_s: float,
        budget: ByteBudget,
    ) -> None:
        self._catalogue = catalogue
        self._pool = pool
        self._is_draining = is_draining
        self._queue_limit_s = queue_limit_s
        self._budget = budget
        self._build = {"version": __version__, "python": platform.python_version(), "torch": version("torch")}

    def collect(self) -> Iterator[Metric]:
        state = self._pool()
        is_draining = self._is_draining() or state.is_stopping
        for name, meaning, value in (
            ("queue_items", "Jobs that wait for a worker.", state.queued_items),
            ("queue_pixels", "Pixels of the jobs that wait.", state.queued_pixels),
            ("queue_oldest_age_seconds", "Seconds that the oldest waiting job has waited.", state.oldest_age_s),
            (
                "queue_estimated_wait_seconds",
                "Estimated seconds that a new job would wait, running jobs included.",
                state.estimated_wait_s,
            ),
            ("queue_work_seconds", "Estimated seconds of queued work for each worker thread.", state.queued_s),
            (
                "queue_limit_seconds",
                "Limit on queue_work_seconds, above which new jobs are refused.",
                self._queue_limit_s,
            ),
            ("running_items", "Jobs that workers are running.", state.running_items),
            ("held_bytes", "Bytes of request bodies and answers that are held or reserved.", self._budget.held_bytes),
            ("held_limit_bytes", "Limit on held_bytes.", self._budget.max_bytes),
            ("ready", "1 if /readyz answers 200, else 0.", state.is_ready and not is_draining),
            ("draining", "1 while the service is shutting down, else 0.", is_draining),
        ):
            yield GaugeMetricFamily(f"vcodec_{name}", meaning, float(value))
        for name, meaning, total in (
            ("retries", "Jobs that were run again, alone, because their worker died.", state.retries),
            ("quarantined_inputs", "Inputs refused because they killed workers.", state.quarantined),
        ):
            yield CounterMetricFamily(f"vcodec_{name}", meaning, float(total))
        yield _labelled_counter(
            "requests_cancelled",
            "Requests whose caller disconnected, by the place of the job.",
            "where",
            state.cancelled,
        )
        yield from runner_metrics(state.counts)
        yield _labelled_counter("worker_restarts", "Workers that ended.", "reason", state.restarts)
        yield from self._worker_metrics(state)
        yield from self._model_metrics()
        yield InfoMetricFamily("vcodec_build", "This build.", self._build)

    def _worker_metrics(self, state: PoolState) -> Iterator[Metric]:
        labels = ["worker", "device"]
        up = GaugeMetricFamily("vcodec_worker_up", "1 if the worker is warm, else 0.", labels=labels)
        jobs = GaugeMetricFamily("vcodec_worker_jobs", "Jobs that the worker is running.", labels=labels)
        places = GaugeMetricFamily(
            "vcodec_worker_places", "Jobs that the worker runs at most at the same time.", labels=labels
        )
        for worker in state.workers:
            up.add_metric([worker.name, worker.device], float(worker.is_ready))
            jobs.add_metric([worker.name, worker.device], worker.jobs)
            places.add_metric([worker.name, worker.device], worker.threads)
        yield from (up, jobs, places)

    def _model_metrics(self) -> Iterator[Metric]:
        catalogue = self._catalogue
        info = InfoMetricFamily(
            "vcodec_model", "The models in the store; state is active, loading, draining or stored.", labels=["model"]
        )
        jobs = GaugeMetricFamily("vcodec_model_jobs", "Admitted jobs that use the model.", labels=["model"])
        for model in catalogue.models():
            state = catalogue.state_of(model)
            info.add_metric([model.id], {"name": model.name, "created": model.created, "state": state})
            jobs.add_metric([model.id], float(catalogue.jobs(model)))
        yield info
        yield jobs
        yield _labelled_counter("model_swaps", "Attempts to make another model the default.", "result", catalogue.swaps)
        yield GaugeMetricFamily(
            "vcodec_model_load_duration_seconds",
            "Seconds that the model took to load that became the default last.",
            catalogue.load_seconds,
        )


def _labelled_counter(name: str, meaning: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"vcodec_{name}", meaning, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], float(count))
    return family
