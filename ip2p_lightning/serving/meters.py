"""Counters of a service, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from ip2p_lightning.serving.models import Models
from ip2p_lightning.serving.queue import Batch, WorkQueue

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_SIZES = (1, 2, 4, 8, 16, 32)
_PATHS = ("/v1/images/edits", "/v1/images/generations", "/v1/models", "/healthz", "/metrics")


class Meters:
    """Counters, in a registry of their own, that a queue and its service fill.

    Args:
        queue: whose batches and load are counted.
        models: their names.
    """

    def __init__(self, queue: WorkQueue, models: Models) -> None:
        self._registry = registry = CollectorRegistry()
        self._models = models
        ProcessCollector(registry=registry)
        labels = ["path", "status"]
        self._requests = Counter("ip2p_requests", "Requests that were answered", labels, registry=registry)
        self._seconds = Histogram(
            "ip2p_request_seconds", "From request to answer", ["path"], buckets=_SECONDS, registry=registry
        )
        self._images = Counter("ip2p_images", "Images that were made", ["model"], registry=registry)
        self._sizes = Histogram(
            "ip2p_batch_size", "Requests that shared a batch", ["model"], buckets=_SIZES, registry=registry
        )
        self._batches = Histogram(
            "ip2p_batch_seconds", "Time of a batch", ["model"], buckets=_SECONDS, registry=registry
        )
        held = Gauge("ip2p_queue_held", "Images that are waiting or in work", registry=registry)
        held.set_function(lambda: queue.held)
        waiting = Gauge("ip2p_queue_waiting", "Images that are not in work yet", registry=registry)
        waiting.set_function(lambda: queue.waiting)
        queue.on_batch = self.batch

    def batch(self, batch: Batch) -> None:
        """Count a batch."""
        model = self._models.name_of(batch.engine)
        self._images.labels(model).inc(batch.size)
        self._sizes.labels(model).observe(batch.size)
        self._batches.labels(model).observe(batch.seconds)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count an answer; paths that do not exist are counted as one."""
        path = path if path in _PATHS else "other"
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def page(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)
