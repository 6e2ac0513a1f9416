"""Metrics as Prometheus reads them: its text format 0.0.4, or OpenMetrics 1.0 for whoever prefers that."""

from __future__ import annotations

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from typing_extensions import override

from api.rest.accept import quality
from orchestrator.reports.metrics import COUNTER, Family, Histogram

UNITS = ("seconds", "bytes", "usd")
"""Units that OpenMetrics names apart."""

_OPEN, _PLAIN = "application/openmetrics-text", "text/plain"

_process = CollectorRegistry()
ProcessCollector(registry=_process)
PlatformCollector(registry=_process)
GCCollector(registry=_process)


def expose_log(families: Iterable[Family], accept: str) -> tuple[str, bytes]:
    """Content type and body, in the format that the header `Accept` (`""` for none) prefers."""
    return _expose(map(metric_of, families), accept)


def expose_process(families: Iterable[Family], accept: str) -> tuple[str, bytes]:
    """The same for families of this process, with what the system and Python say of it.

    Every sample has the label `pid`, which tells the workers of one instance apart.
    """
    metrics = [*map(metric_of, families), *_process.collect()]
    label = {"pid": str(os.getpid())}
    for metric in metrics:
        metric.samples = [sample._replace(labels=sample.labels | label) for sample in metric.samples]
    return _expose(metrics, accept)


def metric_of(family: Family) -> Metric:
    """A family in the terms of prometheus-client."""
    unit = next((unit for unit in UNITS if family.name.removesuffix("_total").endswith(f"_{unit}")), "")
    if family.kind == COUNTER:
        counter = CounterMetricFamily(family.name, family.help, labels=family.labels, unit=unit)
        for labels, value in family.samples:
            counter.add_metric(labels, value)  # type: ignore[arg-type]
        return counter
    histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels, unit=unit)
    level = GaugeMetricFamily(family.name, family.help, labels=family.labels, unit=unit)
    for labels, value in family.samples:
        if isinstance(value, Histogram):
            buckets = [(_bound(bound_s), count) for bound_s, count in value.buckets]
            histogram.add_metric(labels, buckets, value.sum_s)
        else:
            level.add_metric(labels, value)
    return level if family.kind == "gauge" else histogram


class _Given(Collector):
    """Metrics where a registry is expected."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    @override
    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _bound(bound_s: float) -> str:
    bound: str = floatToGoString(bound_s)  # type: ignore[no-untyped-call]
    return bound


def _expose(metrics: Iterable[Metric], accept: str) -> tuple[str, bytes]:
    given = _Given(metrics)
    if quality(accept, _OPEN) >= max(quality(accept, _PLAIN), 0.001):
        body: bytes = openmetrics.generate_latest(given)  # type: ignore[no-untyped-call]
        return openmetrics.CONTENT_TYPE_LATEST, body
    return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(given)
