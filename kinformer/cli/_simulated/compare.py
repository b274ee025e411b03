"""Compare a cache with the server, object by object and field by field.

The list of the server is fetched and decoded here with aiohttp and msgspec alone. So a defect of the client that filled
the cache cannot hide.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kinformer.objects import ObjectKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import aiohttp

    from kinformer.informer import SharedInformer
    from kinformer.objects import KubeObject
    from kinformer.scope import ScopedResource

__all__ = ["Comparison", "compare", "compare_with_server", "served"]

Manifests = dict[ObjectKey, dict[str, Any]]

_PAGE: Final = 500
_SLICE: Final = 100  # objects decoded between two turns of the loop

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference between a cache and the server.

    Attributes:
        objects: number of objects on the server.
        missing: keys that are only on the server.
        surplus: keys that are only in the cache.
        different: keys in both, with different content.
    """

    objects: int
    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    different: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """True if there is no difference."""
        return not (self.missing or self.surplus or self.different)

    def differences(self, most: int = 3) -> str:
        """Return the keys that differ, and the kind of difference; "" if none does."""
        parts = []
        for word, keys in (("missing", self.missing), ("surplus", self.surplus), ("different", self.different)):
            if keys:
                more = f" and {len(keys) - most} more" if len(keys) > most else ""
                parts.append(f"{word}: {', '.join(keys[:most])}{more}")
        return "; ".join(parts)


def compare(cached: Mapping[ObjectKey, Mapping[str, Any]], there: Mapping[ObjectKey, Mapping[str, Any]]) -> Comparison:
    """Compare whole manifests."""
    return Comparison(
        objects=len(there),
        missing=_named(there.keys() - cached.keys()),
        surplus=_named(cached.keys() - there.keys()),
        different=_named(key for key in cached.keys() & there.keys() if cached[key] != there[key]),
    )


async def served(session: aiohttp.ClientSession, url: str, covered: ScopedResource) -> Manifests:
    """Read the objects of an informer's scope from the server, by a quorum read, page by page.

    Raises:
        aiohttp.ClientError: the server did not answer, or refused.
    """
    resource = covered.resource
    params = {"limit": str(_PAGE)}
    if covered.scope.label_selector:
        params["labelSelector"] = str(covered.scope.label_selector)
    if covered.scope.field_selector:
        params["fieldSelector"] = str(covered.scope.field_selector)
    found: Manifests = {}
    while True:
        async with session.get(url + resource.path(covered.scope.namespace), params=params) as response:
            response.raise_for_status()
            page = _decode(await response.read())
        for item in page["items"]:
            # Items of a list have no kind and apiVersion, but cached objects show them.
            manifest = {"kind": resource.kind, "apiVersion": resource.api_version} | item
            metadata = manifest["metadata"]
            found[ObjectKey(metadata.get("namespace", ""), metadata["name"])] = manifest
        token = page["metadata"].get("continue")
        if not token:
            return found
        params["continue"] = token


async def compare_with_server(
    session: aiohttp.ClientSession, url: str, covered: ScopedResource, informer: SharedInformer, *, timeout: float
) -> Comparison:
    """Wait at most `timeout` seconds until a cache has the versions of the server, then compare all objects.

    Nothing may be written during this call. A cache that does not catch up in time is compared as it is.

    Raises:
        aiohttp.ClientError: the server did not answer, or refused.
    """
    there = await served(session, url, covered)
    versions = {key: manifest["metadata"]["resourceVersion"] for key, manifest in there.items()}
    await _caught_up(informer, versions, timeout)
    cached: Manifests = {}
    for i, obj in enumerate(informer.lister.list()):
        cached[obj.key] = obj.to_dict()
        if i % _SLICE == 0:
            await asyncio.sleep(0)
    return compare(cached, there)


async def _caught_up(informer: SharedInformer, versions: Mapping[ObjectKey, str], timeout: float) -> None:
    """Wait until a cache has these versions, or until the timeout."""
    if _versions(informer.lister) == versions:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout), informer.events(delivery="latest") as events:
            async for _ in events:
                if not events.waiting and _versions(informer.lister) == versions:
                    return


def _versions(objects: Iterable[KubeObject]) -> dict[ObjectKey, str]:
    return {obj.key: obj.resource_version for obj in objects}


def _named(keys: Iterable[ObjectKey]) -> tuple[str, ...]:
    return tuple(sorted(map(str, keys)))
