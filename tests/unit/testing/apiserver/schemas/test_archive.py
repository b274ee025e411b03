"""The generated file of a release has the types and the OpenAPI documents of a real server."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer.testing._apiserver.schemas.archive import DEFAULT_RELEASE, RELEASES, Archive
from kinformer.testing._apiserver.schemas.delta import apply_delta, delta_of


def test_the_default_release_is_there() -> None:
    assert DEFAULT_RELEASE in RELEASES
    assert Archive.of() is Archive.of(DEFAULT_RELEASE)


@pytest.mark.parametrize("release", RELEASES)
def test_each_place_has_a_document(release: str) -> None:
    archive = Archive.of(release)
    assert {"api/v1", "apis/apps/v1"} <= archive.places.keys()
    for place in archive.places:
        document = archive.openapi_v3(place)
        assert document is not None
        assert json.loads(document)["openapi"] == "3.0.0"
    assert archive.openapi_v3("apis/example.com/v1") is None
    assert archive.read("openapi/v2.pb")
    assert archive.read("discovery.json")


def test_a_release_has_its_own_documents() -> None:
    assert Archive.of("1.36").openapi_v3("apis/storagemigration.k8s.io/v1") is None
    assert Archive.of("1.37").openapi_v3("apis/storagemigration.k8s.io/v1") is not None
    assert Archive.of("1.36").places["api/v1"] != Archive.of("1.37").places["api/v1"]


_PIECES = st.lists(st.sampled_from([b"a" * 40, b"b" * 33, bytes(range(64)), b"x", b"", b"xyz" * 30]), max_size=8).map(
    b"".join
)


@given(_PIECES | st.binary(max_size=200), _PIECES | st.binary(max_size=200))
def test_a_delta_makes_the_new_bytes_of_the_old_bytes(old: bytes, new: bytes) -> None:
    assert apply_delta(old, delta_of(old, new)) == new


def test_a_delta_of_a_small_change_is_small() -> None:
    old = json.dumps([{"name": f"field-{one}", "type": "string"} for one in range(2_000)]).encode()
    new = old.replace(b"field-70", b"another-70").replace(b"field-1999", b"field-2000")
    assert apply_delta(old, delta_of(old, new)) == new
    assert len(delta_of(old, new)) < 1_000
