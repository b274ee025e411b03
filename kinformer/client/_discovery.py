"""Discovery of the resources of a server.

Servers since 1.26 send all resources in two documents (KEP-3352, aggregated discovery). Older servers, and some
aggregated API servers, send one document for each group and version.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from kinformer.client._http.errors import NOT_JSON
from kinformer.client._list_watch import require_json
from kinformer.errors import ApiError, NotFoundError, ProtocolError, TransportError, UnknownResourceError
from kinformer.resources import BUILTIN, Resource, ResourceName, find_resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kinformer.client._http.transport import Transport

__all__ = ["Discovery", "ServerVersion"]

T = TypeVar("T")

log = logging.getLogger(__name__)

_AGGREGATED: Final = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
    "application/json"
)
# Seconds for which discovery is cached. A name that is not in the cache always causes a new request.
_REMEMBERED: Final = 60.0
# Requests in flight at a time, where each group version takes one.
_AT_A_TIME: Final = 10


class ServerVersion(msgspec.Struct, frozen=True, rename="camel"):
    """The content of `/version`.

    Attributes:
        major: such as "1".
        minor: such as "36", or "27+" from some vendors.
        git_version: such as "v1.36.0".
        platform: such as "linux/amd64".
    """

    major: str = ""
    minor: str = ""
    git_version: str = ""
    platform: str = ""

    @property
    def number(self) -> tuple[int, int]:
        """Return major and minor as numbers, for comparison; 0 where a part is no number."""
        major, minor = ("".join(c for c in part if c.isdigit()) for part in (self.major, self.minor))
        return (int(major or 0), int(minor or 0))

    def __str__(self) -> str:
        return self.git_version or f"{self.major}.{self.minor}"


class _ResponseKind(msgspec.Struct):
    kind: str = ""


class _AggregatedResource(msgspec.Struct, rename="camel"):
    resource: str = ""
    response_kind: _ResponseKind | None = None
    scope: str = "Namespaced"
    singular_resource: str = ""
    verbs: list[str] = []
    short_names: list[str] | None = None
    categories: list[str] | None = None


class _AggregatedVersion(msgspec.Struct):
    version: str = ""
    resources: list[_AggregatedResource] | None = None
    freshness: str = ""


class _GroupMetadata(msgspec.Struct):
    name: str = ""


class _AggregatedGroup(msgspec.Struct):
    metadata: _GroupMetadata = msgspec.field(default_factory=_GroupMetadata)
    versions: list[_AggregatedVersion] | None = None


class _PlainVersion(msgspec.Struct, rename="camel"):
    version: str = ""


class _PlainGroup(msgspec.Struct, rename="camel"):
    name: str = ""
    versions: list[_PlainVersion] = []
    preferred_version: _PlainVersion = msgspec.field(default_factory=_PlainVersion)


class _Root(msgspec.Struct):
    """The response of `/api` and `/apis`: any of three kinds."""

    kind: str = ""
    items: list[_AggregatedGroup] | None = None
    versions: list[str] | None = None
    groups: list[_PlainGroup] | None = None


class _PlainResource(msgspec.Struct, rename="camel"):
    name: str = ""
    kind: str = ""
    namespaced: bool = True
    singular_name: str = ""
    verbs: list[str] = []
    short_names: list[str] | None = None
    categories: list[str] | None = None


class _PlainResources(msgspec.Struct):
    resources: list[_PlainResource] | None = None


class Discovery:
    """Caches the resources of a server; callers at the same time share one discovery."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._known: Sequence[Resource] | None = None
        self._asked_at = 0.0
        self._silent: list[str] = []  # group versions that did not respond
        self._asking = asyncio.Lock()

    async def resolve(self, name: str) -> Resource:
        """As `Client.resolve`."""
        if (found := find_resource(name)) is not None:
            return found
        asked = asyncio.get_running_loop().time()
        if (found := find_resource(name, among=await self.resources())) is not None:
            return found
        if self._asked_at < asked and (found := find_resource(name, among=await self._ask_again(asked))) is not None:
            return found
        raise self._unknown(name)

    async def resources(self) -> Sequence[Resource]:
        """As `Client.resources`."""
        return await self._ask_again(asyncio.get_running_loop().time() - _REMEMBERED)

    async def version(self) -> ServerVersion:
        """As `Client.version`."""
        return await self._document("/version", ServerVersion, "ask for the server's version")

    async def openapi(self, api_version: str) -> dict[str, Any]:
        """As `Client.openapi`."""
        place = f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"
        return await self._document(f"/openapi/v3/{place}", dict[str, Any], f"read the schemas of {api_version}")

    async def _ask_again(self, unless_after: float) -> Sequence[Resource]:
        """Return the resources of the server; ask the server unless the cached ones are newer than that time."""
        self._transport.refuse_other_loop()
        async with self._asking:
            if self._known is None or self._asked_at < unless_after:
                asked = asyncio.get_running_loop().time()
                silent: list[str] = []
                core, groups = await self._root("/api", silent), await self._root("/apis", silent)
                self._known, self._silent, self._asked_at = [*core, *groups], silent, asked
                if silent:
                    log.warning("discovery is incomplete, no answer for: %s", ", ".join(silent))
            return self._known

    async def _root(self, path: str, silent: list[str]) -> list[Resource]:
        doing = f"discover the resources of {path}"
        root = await self._document(path, _Root, doing, accept=_AGGREGATED)
        if root.kind == "APIGroupDiscoveryList":
            return _aggregated(root.items or (), silent)
        if root.kind == "APIVersions":
            return await self._plain([("", version) for version in root.versions or ()], silent)
        if root.kind == "APIGroupList":
            return await self._plain([pair for group in root.groups or () for pair in _by_preference(group)], silent)
        msg = f"cannot {doing}: the answer is a {root.kind or 'document of no kind'}"
        raise ProtocolError(msg)

    async def _plain(self, pairs: Sequence[tuple[str, str]], silent: list[str]) -> list[Resource]:
        """Ask for each group and version; note those that do not respond."""
        found: dict[tuple[str, str], list[Resource]] = {}
        turns = asyncio.Semaphore(_AT_A_TIME)

        async def ask(group: str, version: str) -> None:
            path = f"/apis/{group}/{version}" if group else f"/api/{version}"
            async with turns:
                try:
                    answer = await self._document(path, _PlainResources, f"discover the resources of {path}")
                except NotFoundError:
                    return  # removed since
                except (ApiError, TransportError) as error:
                    log.debug("no discovery of %s: %s", path, error)
                    silent.append(f"{group}/{version}" if group else version)
                    return
            found[group, version] = [
                made
                for r in answer.resources or ()
                if (
                    made := _resource(
                        group,
                        version,
                        r.name,
                        r.kind,
                        r.namespaced,
                        r.singular_name,
                        r.short_names,
                        r.categories,
                        r.verbs,
                    )
                )
                is not None
            ]

        try:
            async with asyncio.TaskGroup() as tasks:
                for group, version in pairs:
                    tasks.create_task(ask(group, version))
        except BaseExceptionGroup as errors:  # no credentials, or the client was closed: one error stands for all
            raise errors.exceptions[0] from None
        return [resource for pair in pairs for resource in found.get(pair, ())]

    async def _document(self, path: str, kind: type[T], doing: str, *, accept: str = "application/json") -> T:
        answer = await self._transport.request("GET", path, doing=doing, headers={"Accept": accept})
        require_json(answer.content_type, doing)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except NOT_JSON as error:
            msg = f"cannot {doing}: the answer does not have the expected form: {error}"
            raise ProtocolError(msg) from error

    def _unknown(self, name: str) -> UnknownResourceError:
        word = ResourceName.parse(name).word.lower()
        names: dict[str, str] = {}
        for resource in (*(self._known or ()), *BUILTIN):
            for said in (resource.plural, resource.singular, *resource.short_names):
                names.setdefault(said, resource.qualified)
        # Imported here, because only a wrong name needs it.
        import difflib

        alike = dict.fromkeys(names[close] for close in difflib.get_close_matches(word, names, n=5, cutoff=0.7))
        text = f"{self._transport.server} has no resource {name!r}"
        if alike:
            text += f"; did you mean {' or '.join(list(alike)[:3])}?"
        if self._silent:
            text += f" (these API groups did not answer: {', '.join(self._silent)})"
        return UnknownResourceError(text)


def _aggregated(groups: Iterable[_AggregatedGroup], silent: list[str]) -> list[Resource]:
    found: list[Resource] = []
    for group in groups:
        name = group.metadata.name
        for version in group.versions or ():
            if version.freshness == "Stale":
                silent.append(f"{name}/{version.version}")
            for r in version.resources or ():
                kind = r.response_kind.kind if r.response_kind is not None else ""
                made = _resource(
                    name,
                    version.version,
                    r.resource,
                    kind,
                    r.scope != "Cluster",
                    r.singular_resource,
                    r.short_names,
                    r.categories,
                    r.verbs,
                )
                if made is not None:
                    found.append(made)
    return found


def _by_preference(group: _PlainGroup) -> list[tuple[str, str]]:
    preferred = group.preferred_version.version
    versions = sorted((v.version for v in group.versions), key=lambda version: version != preferred)
    return [(group.name, version) for version in versions]


def _resource(
    group: str,
    version: str,
    plural: str,
    kind: str,
    namespaced: bool,
    singular: str,
    short_names: Sequence[str] | None,
    categories: Sequence[str] | None,
    verbs: Sequence[str],
) -> Resource | None:
    """Make one resource of its discovery data; `None` for a subresource, and for one whose names make no URL."""
    if "/" in plural:
        return None
    try:
        return Resource(
            group,
            version,
            plural,
            kind,
            namespaced=namespaced,
            singular=singular,
            short_names=tuple(short_names or ()),
            in_all="all" in (categories or ()),
            watchable="list" in verbs and "watch" in verbs,
        )
    except ValueError as error:
        log.debug("discovery names a resource that cannot be used: %s", error)
        return None
