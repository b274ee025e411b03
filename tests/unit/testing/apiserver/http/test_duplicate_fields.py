"""Fields that a JSON body has twice are found, with their paths."""

from __future__ import annotations

import pytest

from kinformer.testing._apiserver.http.duplicate_fields import fields_of_doubled


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
    assert [path for path, again in fields_of_doubled(body, "application/json") if again] == paths


def test_all_fields_of_such_a_body_are_named_in_its_order() -> None:
    found = fields_of_doubled(b'{"b":{"c":1},"a":[{"d":1}],"b":2}', "application/json")
    assert found == [("b", False), ("b.c", False), ("a", False), ("a[0].d", False), ("b", True)]


def test_other_media_types_are_not_looked_at() -> None:
    assert fields_of_doubled(b'{"a":1,"a":2}', "application/merge-patch+json") == []
