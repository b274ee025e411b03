"""The resources of the server: the built-in ones of a real kube-apiserver of its release, and those of posted CRDs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from kinformer.testing._apiserver.schemas.archive import DEFAULT_RELEASE, Archive
from kinformer.testing._apiserver.schemas.go_types import Types
from kinformer.testing._apiserver.store.custom_versions import CustomVersions
from kinformer.testing._apiserver.store.structure import Structure, builtin, of_schema

__all__ = ["Catalog", "ResourceType"]

_ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")

_KUBE_VERSION: Final = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_STABILITY: Final = {None: 3, "beta": 2, "alpha": 1}


@dataclass(frozen=True)
class ResourceType:
    """One resource in one version.

    Attributes:
        subresources: by name, the discovery document of each.
        definition: for a custom resource its entry in the CRD's `spec.versions`.
        conversion: the webhook that converts its objects; `None` if none does.
        release: the Kubernetes release of the server, as "1.36".
    """

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = _ALL_VERBS
    subresources: dict[str, dict[str, Any]] = field(default_factory=dict, hash=False, compare=False)
    definition: dict[str, Any] | None = field(default=None, hash=False, compare=False)
    conversion: CustomVersions | None = field(default=None, hash=False, compare=False)
    release: str = DEFAULT_RELEASE

    @property
    def storage(self) -> tuple[str, str]:
        """Group and plural under which it is stored: the same for all versions, and for the Events of both groups."""
        if self.group == "events.k8s.io" and self.plural == "events":
            return ("", "events")
        return (self.group, self.plural)

    @cached_property
    def api_version(self) -> str:
        """`v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def types(self) -> Types:
        """The built-in types of the release."""
        return Types.of(self.release)

    @property
    def custom(self) -> bool:
        """Report whether a CRD defines it."""
        return self.definition is not None

    @cached_property
    def structure(self) -> Structure:
        """The structure of its objects."""
        if self.definition is None:
            return builtin(self.api_version, self.kind, self.types)
        return of_schema((self.definition.get("schema") or {}).get("openAPIV3Schema") or {})

    @property
    def served(self) -> bool:
        """Report whether it can be asked for; a CRD may define versions that cannot."""
        return self.definition is None or bool(self.definition.get("served", True))

    @property
    def has_status(self) -> bool:
        """Report whether its status is a subresource."""
        return "status" in self.subresources

    @cached_property
    def head(self) -> bytes:
        """The bytes in front of a stored built-in object, whose lists leave kind and version out."""
        return b'{"kind":"%s","apiVersion":"%s",' % (self.kind.encode(), self.api_version.encode())

    @property
    def list_of(self) -> str:
        """The kind of its lists."""
        return self.list_kind or f"{self.kind}List"


def _from_discovery(group: str, version: str, entry: dict[str, Any], release: str) -> ResourceType:
    return ResourceType(
        group=group,
        version=version,
        plural=entry["resource"],
        singular=entry["singularResource"],
        kind=entry["responseKind"]["kind"],
        namespaced=entry["scope"] == "Namespaced",
        short_names=tuple(entry.get("shortNames", ())),
        categories=tuple(entry.get("categories", ())),
        verbs=tuple(entry["verbs"]),
        subresources={sub["subresource"]: sub for sub in entry.get("subresources", ())},
        release=release,
    )


def _version_order(version: str) -> tuple[int, int, int, str]:
    """Stable versions before beta before alpha, new before old, anything else last (apimachinery pkg/version)."""
    match = _KUBE_VERSION.fullmatch(version)
    if match is None:
        return (0, 0, 0, version)
    major, stability, minor = match.groups()
    return (-_STABILITY[stability], -int(major), -int(minor or 0), version)


class Catalog:
    """All resource types, and their discovery documents.

    Args:
        release: the Kubernetes release, one of `RELEASES`.
    """

    def __init__(self, release: str = DEFAULT_RELEASE) -> None:
        self.release = release
        data = json.loads(Archive.of(release).read("discovery.json") or b"{}")
        self._core: list[dict[str, Any]] = data["core"]
        self._groups: list[dict[str, Any]] = data["groups"]
        self._hashes: dict[str, str] = data["storageVersionHashes"]
        self._types: dict[tuple[str, str, str], ResourceType] = {}
        self._crds: dict[str, list[ResourceType]] = {}
        for document in (*self._core, *self._groups):
            group = document["metadata"].get("name", "")
            for version in document["versions"]:
                for entry in version["resources"]:
                    found = _from_discovery(group, version["version"], entry, release)
                    self._types[group, found.version, found.plural] = found

    @property
    def types(self) -> Types:
        """The built-in types of the release."""
        return Types.of(self.release)

    @property
    def archive(self) -> Archive:
        """The documents of the release."""
        return Archive.of(self.release)

    def lookup(self, group: str, version: str, plural: str) -> ResourceType | None:
        """The resource of that name."""
        return self._types.get((group, version, plural))

    @property
    def namespaces(self) -> ResourceType:
        """The resource of namespaces."""
        return self._types["", "v1", "namespaces"]

    def of_kind(self, api_version: str, kind: str) -> ResourceType | None:
        """Return the resource of a kind and version."""
        return next((t for t in self._types.values() if t.kind == kind and t.api_version == api_version), None)

    def serves(self, group: str, version: str = "") -> bool:
        """Report whether there is anything in that group (and version)."""
        return any(g == group and version in {"", v} for g, v, _ in self._types)

    def knows(self, group: str, version: str) -> bool:
        """Report whether that version is served, or is of a built-in group, whatever version that is."""
        return self.serves(group, version) or any(t.group == group and t.definition is None for t in self.all_types())

    def versions_of(self, storage: tuple[str, str]) -> list[ResourceType]:
        """All versions a resource is defined in, those of a CRD that are not served included."""
        served = [t for t in self._types.values() if t.storage == storage]
        defined = [t for types in self._crds.values() for t in types if t.storage == storage]
        return [*served, *(t for t in defined if t not in served)]

    def all_types(self) -> list[ResourceType]:
        """Every resource in every version."""
        return [*self._types.values()]

    def deprecation(self, kind: ResourceType) -> str:
        """The warning of a deprecated version of a custom resource, or "" (apiextensions-apiserver, crdHandler)."""
        if kind.definition is None or not kind.definition.get("deprecated"):
            return ""
        if text := kind.definition.get("deprecationWarning"):
            return str(text)
        order = _version_order(kind.version)
        newer = sorted(
            _version_order(one.version)
            for one in self.versions_of(kind.storage)
            if one.served and not (one.definition or {}).get("deprecated") and _version_order(one.version) < order
        )
        remedy = f"; use {kind.group}/{newer[0][-1]} {kind.kind}" if newer else ""
        return f"{kind.api_version} {kind.kind} is deprecated{remedy}"

    def add_crd(self, crd: dict[str, Any]) -> list[ResourceType]:
        """Serve what a CustomResourceDefinition defines; replaces what an earlier state of it defined.

        Returns:
            All its versions, those that are not served included.
        """
        self.remove_crd(crd["metadata"]["name"])
        spec, names = crd["spec"], crd["spec"]["names"]
        types = []
        conversion = _conversion(spec)
        for version in spec["versions"]:
            subresources = {
                name: {
                    "subresource": name,
                    "responseKind": (
                        {"group": "autoscaling", "version": "v1", "kind": "Scale"}
                        if name == "scale"
                        else {"group": spec["group"], "version": version["name"], "kind": names["kind"]}
                    ),
                    "verbs": ["get", "patch", "update"],
                }
                for name in version.get("subresources") or {}
            }
            made = ResourceType(
                group=spec["group"],
                version=version["name"],
                plural=names["plural"],
                singular=names.get("singular") or names["kind"].lower(),
                kind=names["kind"],
                namespaced=spec["scope"] == "Namespaced",
                list_kind=names.get("listKind", ""),
                short_names=tuple(names.get("shortNames", ())),
                categories=tuple(names.get("categories", ())),
                verbs=_CUSTOM_VERBS,
                subresources=subresources,
                definition=version,
                conversion=conversion,
                release=self.release,
            )
            if made.served:
                self._types[made.group, made.version, made.plural] = made
            types.append(made)
        self._crds[crd["metadata"]["name"]] = types
        return types

    def remove_crd(self, name: str) -> list[ResourceType]:
        """Stop serving a CRD; return the versions that it defined."""
        types = self._crds.pop(name, [])
        for gone in types:
            self._types.pop((gone.group, gone.version, gone.plural), None)
        return types

    def api_versions(self, address: str) -> dict[str, Any]:
        """`/api`."""
        cidr = {"clientCIDR": "0.0.0.0/0", "serverAddress": address}
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [cidr]}

    def api_groups(self) -> dict[str, Any]:
        """`/apis`."""
        groups = [self._plain_group(document) for document in self._all_groups()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def api_group(self, group: str) -> dict[str, Any] | None:
        """`/apis/GROUP`."""
        document = next((d for d in self._all_groups() if d["metadata"]["name"] == group), None)
        return None if document is None else {"kind": "APIGroup", "apiVersion": "v1", **self._plain_group(document)}

    def api_resources(self, group: str, version: str) -> dict[str, Any] | None:
        """`/api/v1` and `/apis/GROUP/VERSION`."""
        types = [t for (g, v, _), t in self._types.items() if (g, v) == (group, version)]
        if not types:
            return None
        listed = []
        for found in types:
            listed.append(self._plain_resource(found))
            listed.extend(_plain_subresource(found, sub) for sub in found.subresources.values())
        head = {"kind": "APIResourceList"} | ({"apiVersion": "v1"} if group else {})
        return head | {"groupVersion": types[0].api_version, "resources": listed}

    def aggregated_core(self) -> dict[str, Any]:
        """`/api` as aggregated discovery (KEP-3352)."""
        return _discovery_list(self._core)

    def aggregated_groups(self) -> dict[str, Any]:
        """`/apis` as aggregated discovery."""
        return _discovery_list(self._all_groups())

    def _all_groups(self) -> list[dict[str, Any]]:
        """The aggregated documents of all groups but the core one; custom ones come last."""
        custom: dict[str, dict[str, list[ResourceType]]] = {}
        for types in self._crds.values():
            for found in types:
                if found.served:
                    custom.setdefault(found.group, {}).setdefault(found.version, []).append(found)
        documents = [
            {
                "metadata": {"name": group},
                "versions": [
                    {
                        "version": version,
                        "resources": [_aggregated_resource(found) for found in types],
                        "freshness": "Current",
                    }
                    for version, types in sorted(versions.items(), key=lambda item: _version_order(item[0]))
                ],
            }
            for group, versions in sorted(custom.items())
        ]
        return [*self._groups, *documents]

    @staticmethod
    def _plain_group(document: dict[str, Any]) -> dict[str, Any]:
        name = document["metadata"]["name"]
        versions = [
            {"groupVersion": f"{name}/{version['version']}", "version": version["version"]}
            for version in document["versions"]
        ]
        return {"name": name, "versions": versions, "preferredVersion": versions[0]}

    def _plain_resource(self, found: ResourceType) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "name": found.plural,
            "singularName": found.singular,
            "namespaced": found.namespaced,
            "kind": found.kind,
            "verbs": [*found.verbs],
        }
        if found.short_names:
            entry["shortNames"] = [*found.short_names]
        if found.categories:
            entry["categories"] = [*found.categories]
        if (storage_hash := self._hashes.get(f"{found.group}/{found.plural}")) is not None:
            entry["storageVersionHash"] = storage_hash
        return entry


def _conversion(spec: dict[str, Any]) -> CustomVersions | None:
    given = spec.get("conversion") or {}
    if given.get("strategy") != "Webhook":
        return None
    stored = next(version["name"] for version in spec["versions"] if version.get("storage"))
    storage = (spec["group"], spec["names"]["plural"])
    return CustomVersions(given.get("webhook") or {}, storage, f"{spec['group']}/{stored}")


def _plain_subresource(found: ResourceType, sub: dict[str, Any]) -> dict[str, Any]:
    kind = sub["responseKind"]
    entry = {"name": f"{found.plural}/{sub['subresource']}", "singularName": "", "namespaced": found.namespaced}
    if kind.get("group") and kind["group"] != found.group:
        entry |= {"group": kind["group"], "version": kind["version"]}
    return entry | {"kind": kind["kind"], "verbs": sub["verbs"]}


def _aggregated_resource(found: ResourceType) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "resource": found.plural,
        "responseKind": {"group": found.group, "version": found.version, "kind": found.kind},
        "scope": "Namespaced" if found.namespaced else "Cluster",
        "singularResource": found.singular,
        "verbs": [*found.verbs],
    }
    if found.short_names:
        entry["shortNames"] = [*found.short_names]
    if found.categories:
        entry["categories"] = [*found.categories]
    if found.subresources:
        entry["subresources"] = [*found.subresources.values()]
    return entry


def _discovery_list(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }
