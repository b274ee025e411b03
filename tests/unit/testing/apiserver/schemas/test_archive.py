"""The generated file of a release has the types and the OpenAPI documents of a real server."""

from __future__ import annotations

import json

from kinformer.testing._apiserver.schemas.archive import DEFAULT_RELEASE, RELEASES, Archive


def test_the_default_release_is_there() -> None:
    assert DEFAULT_RELEASE in RELEASES
    assert Archive.of() is Archive.of(DEFAULT_RELEASE)


def test_each_place_has_a_document() -> None:
    archive = Archive.of()
    assert {"api/v1", "apis/apps/v1"} <= archive.places.keys()
    for place in archive.places:
        document = archive.openapi_v3(place)
        assert document is not None
        assert json.loads(document)["openapi"] == "3.0.0"
    assert archive.openapi_v3("apis/example.com/v1") is None
    assert archive.read("openapi/v2.pb")
