"""Discovery of a replay: the recorded resources, readable only. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.resources import Resource

__all__ = ["AGGREGATED", "Documents"]

_VERBS: Final = ("get", "list", "watch")
AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Documents:
    """The documents of a server that has these resources.

    Args:
        resources: the resources.
        server: its `gitVersion`.
    """

    def __init__(self, resources: Iterable[Resource], server: str) -> None:
        self._server = server
        self._groups: dict[str, dict[str, list[Resource]]] = {"": {"v1": []}}
        for resource in resources:
            self._groups.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)

    def at(self, path: str, *, aggregated: bool = False) -> dict[str, Any] | str | None:
        """Return the document at a path: an object, or a text; `None` if there is none."""
        match path.strip("/").split("/"):
            case ["healthz" | "livez" | "readyz", *_]:
                return "ok"
            case ["version"]:
                return self._version()
            case ["api"] if aggregated:
                return self._aggregated([""])
            case ["apis"] if aggregated:
                return self._aggregated([group for group in self._groups if group])
            case ["api"]:
                return {"kind": "APIVersions", "versions": [*self._groups[""]], "serverAddressByClientCIDRs": []}
            case ["apis"]:
                groups = [self._group(group) for group in self._groups if group]
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
            case ["api", version]:
                return self._plain("", version)
            case ["apis", group] if group in self._groups:
                return {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}
            case ["apis", group, version]:
                return self._plain(group, version)
        return None

    def _version(self) -> dict[str, Any]:
        major, _, rest = self._server.removeprefix("v").partition(".")
        return {
            "major": major,
            "minor": rest.partition(".")[0],
            "gitVersion": self._server,
            "gitCommit": "",
            "gitTreeState": "",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "",
            "compiler": "",
            "platform": "",
        }

    def _group(self, group: str) -> dict[str, Any]:
        versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in self._groups[group]]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _plain(self, group: str, version: str) -> dict[str, Any] | None:
        resources = self._groups.get(group, {}).get(version)
        if resources is None:
            return None
        listed = [
            {
                "name": resource.plural,
                "singularName": resource.singular,
                "namespaced": resource.namespaced,
                "kind": resource.kind,
                "verbs": [*_VERBS],
                "shortNames": [*resource.short_names],
                "categories": ["all"] if resource.in_all else [],
            }
            for resource in resources
        ]
        place = f"{group}/{version}" if group else version
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": place, "resources": listed}

    def _aggregated(self, groups: list[str]) -> dict[str, Any]:
        items = [
            {
                "metadata": {"name": group} if group else {},
                "versions": [
                    {
                        "version": version,
                        "resources": [_aggregated_resource(resource) for resource in resources],
                        "freshness": "Current",
                    }
                    for version, resources in self._groups[group].items()
                ],
            }
            for group in groups
        ]
        return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_resource(resource: Resource) -> dict[str, Any]:
    return {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": [*_VERBS],
        "shortNames": [*resource.short_names],
        "categories": ["all"] if resource.in_all else [],
    }
