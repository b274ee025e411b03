"""Fields that a JSON body has twice are found, with their paths."""

from __future__ import annotations

import pytest

from kinformer.testing._apiserver.http.duplicate_fields import duplicate_fields


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (b'{"metadata":{"name":"a","name":"b"},"spec":{}}', ["metadata.name"]),
        (b'{"a":[{"b":1},{"b":1,"b":2}],"a":[]}', ["a[1].b", "a"]),
        (b'{"a":1,"b":{"a":1}}', []),
        (b"{", []),
        (b"[1,1]", []),
    ],
)
def test_each_second_field_is_named_by_its_path(body: bytes, paths: list[str]) -> None:
    assert duplicate_fields(body, "application/json") == paths


def test_other_media_types_are_not_looked_at() -> None:
    assert duplicate_fields(b'{"a":1,"a":2}', "application/merge-patch+json") == []
