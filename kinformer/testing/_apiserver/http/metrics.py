"""`/metrics`: the counts that the embedded server knows, by the names of a kube-apiserver."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kinformer.testing._apiserver.http.handler import RequestRecord
    from kinformer.testing._apiserver.http.watches import OpenWatch
    from kinformer.testing._apiserver.rules.registry import Registry

__all__ = ["answer_metrics"]


def answer_metrics(requests: Iterable[RequestRecord], watches: Iterable[OpenWatch], registry: Registry) -> web.Response:
    """Answer in the text format of Prometheus."""
    text = "\n".join([*_lines(requests, watches, registry), ""])
    return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _lines(requests: Iterable[RequestRecord], watches: Iterable[OpenWatch], registry: Registry) -> Iterator[str]:
    yield "# HELP apiserver_request_total [STABLE] Counter of the last 100,000 requests."
    yield "# TYPE apiserver_request_total counter"
    asked = Counter((one.group, one.resource, one.subresource, one.verb.upper()) for one in requests if one.resource)
    for (group, resource, subresource, verb), number in sorted(asked.items()):
        labels = f'group="{group}",resource="{resource}",subresource="{subresource}",verb="{verb}"'
        yield f"apiserver_request_total{{{labels}}} {number}"
    yield "# HELP apiserver_longrunning_requests [STABLE] Gauge of the watches that are open."
    yield "# TYPE apiserver_longrunning_requests gauge"
    open_now = Counter((one.target.kind.group, one.target.kind.plural) for one in watches)
    for (group, resource), number in sorted(open_now.items()):
        yield f'apiserver_longrunning_requests{{group="{group}",resource="{resource}",verb="WATCH"}} {number}'
    yield "# HELP apiserver_resource_objects [ALPHA] Gauge of the objects that are stored."
    yield "# TYPE apiserver_resource_objects gauge"
    for group, resource in sorted({kind.storage for kind in registry.catalog.all_types()}):
        if number := len(registry.store.all((group, resource))):
            yield f'apiserver_resource_objects{{group="{group}",resource="{resource}"}} {number}'
