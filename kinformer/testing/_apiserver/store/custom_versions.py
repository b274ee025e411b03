"""The versions of a custom resource that a webhook converts between, and the answers of the webhook so far."""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["CustomVersions", "UnconvertedError"]

_MOST_KEPT: Final = 50_000
_encode = msgspec.json.Encoder(order="sorted").encode


class UnconvertedError(Exception):
    """An object must be converted by the webhook before a request can go on.

    Attributes:
        versions: the versions of the resource.
        manifest: the object.
        api_version: the wanted version.
    """

    def __init__(self, versions: CustomVersions, manifest: dict[str, Any], api_version: str) -> None:
        super().__init__(f"an object has not been converted to {api_version}")
        self.versions = versions
        self.manifest = manifest
        self.api_version = api_version


class CustomVersions:
    """The conversion of one CRD.

    Args:
        webhook: `spec.conversion.webhook` of the CRD.
        storage: group and plural of the resource.
        stored: the `apiVersion` that objects are stored in.
    """

    def __init__(self, webhook: dict[str, Any], storage: tuple[str, str], stored: str) -> None:
        self.webhook = webhook
        self.storage = storage
        self.stored = stored
        self._results: dict[tuple[str, bytes], dict[str, Any]] = {}

    def result(self, manifest: dict[str, Any], api_version: str) -> dict[str, Any]:
        """An object in another version, as the webhook has converted it.

        Raises:
            UnconvertedError: the webhook has not been asked.
        """
        if manifest["apiVersion"] == api_version:
            return manifest
        found = self._results.get((api_version, _encode(manifest)))
        if found is None:
            raise UnconvertedError(self, manifest, api_version)
        return found

    def lacks(self, manifest: dict[str, Any], api_version: str) -> bool:
        """Report whether the webhook must be asked for an object."""
        return manifest["apiVersion"] != api_version and (api_version, _encode(manifest)) not in self._results

    def note(self, manifest: dict[str, Any], converted: dict[str, Any]) -> None:
        """Keep an answer of the webhook."""
        if len(self._results) >= _MOST_KEPT:
            self._results.clear()
        self._results[converted["apiVersion"], _encode(manifest)] = converted
