"""Writes series in the two formats that Prometheus reads: its own text, and OpenMetrics."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import assert_never

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from tokenman_core.telemetry.series import Count, Gauge, Histogram, Series


def exposition(series: Sequence[Series], accept: str = "") -> tuple[bytes, str]:
    """The body and its content type. `accept` is the scraper's `Accept` header, which chooses the format."""
    registry = CollectorRegistry()
    registry.register(_Given(series))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Given(Collector):
    def __init__(self, series: Sequence[Series]) -> None:
        self._series = series

    def describe(self) -> Iterable[Metric]:
        return ()  # or the registry would collect all of them once more, to learn their names

    def collect(self) -> Iterable[Metric]:
        return map(_family, self._series)


def _family(series: Series) -> Metric:
    match series:
        case Count():
            counter = CounterMetricFamily(series.name, series.help, labels=series.labels)
            for labels, value in series.values.items():
                counter.add_metric(labels, float(value))  # the exact sum, rounded here and nowhere before
            return counter
        case Gauge():
            gauge = GaugeMetricFamily(series.name, series.help, labels=series.labels)
            for labels, number in series.values.items():
                gauge.add_metric(labels, number)
            return gauge
        case Histogram():
            return _histogram(series)
        case _:
            assert_never(series)


def _histogram(series: Histogram) -> Metric:
    family = HistogramMetricFamily(series.name, series.help, labels=series.labels)
    bounds = [*map(floatToGoString, series.bounds), "+Inf"]
    for labels, counts in series.buckets.items():
        family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), series.sums[labels])
    return family
