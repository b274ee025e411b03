"""The paths that are no resources: discovery, OpenAPI, health, versions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from kinformer.testing._apiserver.http import openapi
from kinformer.testing._apiserver.http.answers import json_answer, raw_json_answer
from kinformer.testing._apiserver.http.health import HEALTH_PATHS, answer_health, is_health
from kinformer.testing._apiserver.http.negotiation import JSON, check_media, form_of
from kinformer.testing._apiserver.http.requests import wants_aggregated
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import Catalog

__all__ = ["document", "is_document"]

_VERSION: Final = {
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
_AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def is_document(path: str) -> bool:
    """Report whether a path is no resource."""
    return not path.startswith(("/api/v1/", "/apis/")) or (path.startswith("/apis/") and path.count("/") <= 3)


def document(request: web.BaseRequest, path: str, catalog: Catalog) -> web.Response:
    """The document at a path.

    Raises:
        Refusal: 405.
        TextRefusal: 404.
    """
    if request.method != "GET":
        raise status.method_not_allowed()
    accept = request.headers.get("Accept", "")
    if path == "/version":
        check_media(accept, (JSON,))
    match path:
        case "/":
            return json_answer({"paths": _paths(catalog)})
        case "/version":
            return web.Response(
                body=json.dumps(_version(catalog.release), indent=2), headers={"Content-Type": "application/json"}
            )
        case "/openapi/v2" if openapi.PROTOBUF_V2 in accept:
            return web.Response(body=openapi.v2_protobuf(catalog), headers={"Content-Type": openapi.PROTOBUF_V2_SENT})
        case "/openapi/v2":
            return raw_json_answer(openapi.v2_json(catalog))
        case "/openapi/v3":
            return json_answer(openapi.v3_index(catalog))
        case "/api" | "/apis" if wants_aggregated(accept):
            listed = catalog.aggregated_core() if path == "/api" else catalog.aggregated_groups()
            return json_answer(
                listed, headers={"Content-Type": _AGGREGATED, "Vary": "Accept", "Cache-Control": "public"}
            )
        case "/api":
            return json_answer(catalog.api_versions(request.host))
        case "/apis":
            return json_answer(catalog.api_groups())
    parts = path.strip("/").split("/")
    if is_health(path):
        return answer_health(path, verbose="verbose" in request.query, excluded=request.query.getall("exclude", []))
    found = _discovery(parts, catalog)
    if found is None:
        raise status.page_not_found()
    if parts[0] in {"api", "apis"}:
        check_media(accept)
        form_of(accept, views=False)
    return raw_json_answer(found) if isinstance(found, bytes) else json_answer(found)


def _version(release: str) -> dict[str, str]:
    """Return the answer of `/version` for a release, as "1.36"."""
    major, minor = release.split(".")
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": f"v{release}.0+kinformer",
        **_VERSION,
    }


def _discovery(parts: list[str], catalog: Catalog) -> bytes | dict[str, Any] | None:
    match parts:
        case ["openapi", "v3", *rest]:
            return openapi.v3_document(catalog, "/".join(rest))
        case ["api", version]:
            return catalog.api_resources("", version)
        case ["apis", group]:
            return catalog.api_group(group)
        case ["apis", group, version]:
            return catalog.api_resources(group, version)
    return None


def _paths(catalog: Catalog) -> list[str]:
    """The paths that `/` lists."""
    versions = {kind.api_version for kind in catalog.all_types()}
    paths = {"/api", "/apis", "/apis/", "/metrics", "/openapi/v2", "/openapi/v3", "/version"}
    paths |= {f"/apis/{version}" if "/" in version else f"/api/{version}" for version in versions}
    paths |= {f"/apis/{version.partition('/')[0]}" for version in versions if "/" in version}
    paths |= HEALTH_PATHS
    return sorted(paths)
