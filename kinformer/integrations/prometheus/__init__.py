"""Metrics for Prometheus."""

from __future__ import annotations

from kinformer._extras import from_extra

with from_extra("prometheus", __name__):
    from kinformer.integrations.prometheus._collector import REQUEST_BUCKETS, SCRAPE_PATIENCE, PrometheusMetrics


__all__ = ["REQUEST_BUCKETS", "SCRAPE_PATIENCE", "PrometheusMetrics"]
