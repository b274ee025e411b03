"""The generated file of one Kubernetes release: its types and its OpenAPI documents.

`tests/apiserver/assets/schemas/generate.py` writes the file. It is a zip archive with these members:

    types.json              kinds, types and their fields, as `go_types` reads them
    columns.json            the columns of tables, by `apps/v1 deployments`
    openapi/v2.json         what `/openapi/v2` answers as JSON
    openapi/v2.pb           what `/openapi/v2` answers as protobuf
    openapi/v3/PLACE.json   what `/openapi/v3/PLACE` answers, PLACE being `api/v1` or `apis/GROUP/VERSION`
    discovery.json          the documents of aggregated discovery, and the hashes of storage versions

The file of the default release is complete. The file of another release has members with the suffix `.delta`: the
difference from the member of the default release, as `delta.py` reads it.
"""

from __future__ import annotations

import json
import zipfile
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

from kinformer.testing._apiserver.schemas.delta import apply_delta

__all__ = ["DEFAULT_RELEASE", "DELTA", "RELEASES", "Archive"]

_FOLDER: Final = Path(__file__).parent
_PREFIX: Final = "openapi/v3/"

RELEASES: Final = tuple(sorted(path.stem.removeprefix("kubernetes-") for path in _FOLDER.glob("kubernetes-*.zip")))
"""The Kubernetes releases that have a generated file, as "1.36"."""

DEFAULT_RELEASE: Final = "1.36"
"""The release of a server for which no other is named; its file is complete."""

DELTA: Final = ".delta"
"""The suffix of a member that is the difference from the default release."""


class Archive:
    """Reads the members of one release's file; each is read when it is asked for.

    Args:
        release: one of `RELEASES`.
    """

    def __init__(self, release: str = DEFAULT_RELEASE) -> None:
        self._path = _FOLDER / f"kubernetes-{release}.zip"

    @staticmethod
    def of(release: str = DEFAULT_RELEASE) -> Archive:
        """Return the archive of a release; the same object each time."""
        return _archive_of(release)

    @lru_cache(maxsize=64)  # noqa: B019 - archives are never collected: `of` keeps them
    def read(self, member: str) -> bytes | None:
        """Return the bytes of a member, or `None` if there is no such member."""
        with zipfile.ZipFile(self._path) as archive:
            names = archive.NameToInfo
            if member in names:
                return archive.read(member)
            if member + DELTA not in names:
                return None
            difference = archive.read(member + DELTA)
        return apply_delta(Archive.of().read(member) or b"", difference)

    @cached_property
    def places(self) -> dict[str, str]:
        """The places of the OpenAPI v3 documents, as `apis/apps/v1`, each with a hash of its document."""
        with zipfile.ZipFile(self._path) as archive:
            return {
                info.filename.removeprefix(_PREFIX).removesuffix(DELTA).removesuffix(".json"): f"{info.CRC:08X}"
                for info in archive.infolist()
                if info.filename.startswith(_PREFIX)
            }

    def columns(self, api_version: str, plural: str) -> list[dict[str, Any]]:
        """Return the columns of the tables of a resource; none for a resource that Kubernetes does not have."""
        found: list[dict[str, Any]] = self._columns.get(f"{api_version} {plural}", [])
        return found

    @cached_property
    def _columns(self) -> dict[str, list[dict[str, Any]]]:
        columns: dict[str, list[dict[str, Any]]] = json.loads(self.read("columns.json") or "{}")
        return columns

    def openapi_v3(self, place: str) -> bytes | None:
        """Return the OpenAPI v3 document of a place as JSON, or `None` for a place that Kubernetes does not have."""
        return self.read(f"{_PREFIX}{place}.json")


@lru_cache
def _archive_of(release: str) -> Archive:
    return Archive(release)
