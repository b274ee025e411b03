"""From what kinformer counts to prometheus_client's families."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.metrics import Histogram

__all__ = ["Labels", "counters", "gauges", "histograms"]

Labels: TypeAlias = tuple[str, ...]


def gauges(
    name: str, text: str, labels: Labels, values: Mapping[Labels, float] | Mapping[Labels, int]
) -> GaugeMetricFamily:
    """A family of gauges, by the values of their labels."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def counters(
    name: str, text: str, labels: Labels, values: Mapping[Labels, float] | Mapping[Labels, int]
) -> CounterMetricFamily:
    """A family of counters, by the values of their labels; `_total` is added to the name."""
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def histograms(name: str, text: str, labels: Labels, values: Mapping[Labels, Histogram]) -> HistogramMetricFamily:
    """A family of histograms, by the values of their labels."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for key, histogram in values.items():
        bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
        # Counted per bucket, reported cumulatively.
        family.add_metric(key, [*zip(bounds, accumulate(histogram.counts), strict=True)], histogram.total)
    return family
