"""Labels and annotations are refused in the words of kube-apiserver 1.36.3."""

from __future__ import annotations

import aiohttp
import pytest

from kinformer.testing import ApiServer
from kinformer.testing._apiserver.rules.names import qualified_faults
from tests.unit.testing.apiserver.rules.test_ratcheting import CRDS, OBJECTS, crd

NAME = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
PREFIX = (
    "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
    "must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
KEYS = {
    "a.b/c": [],
    "a/b/c": [f"a valid label key {NAME} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"],
    "_x/y": [PREFIX],
    "x" * 64: ["name part must be no more than 63 bytes"],
    "/y": ["prefix part must be non-empty"],
    "a/": ["name part must be non-empty", f"name part {NAME}"],
    "a." * 130 + "a/b": ["prefix part must be no more than 253 bytes"],
}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_refused_for_each_of_its_parts(key: str) -> None:
    assert qualified_faults(key) == KEYS[key]


@pytest.mark.parametrize(
    ("metadata", "refused"),
    [
        ({"labels": {"a/b/c": "x"}}, 1),
        ({"labels": {"a": "x" * 64}}, 1),
        ({"labels": {"a": "x y" * 30}}, 2),
        ({"annotations": {"a/b/c": "x"}}, 1),
        ({"annotations": {"A.B/c": "any thing"}}, 0),
        ({"annotations": {"A_/c": "x"}}, 1),
        ({"labels": {"A.B/c": "x"}}, 1),
    ],
)
async def test_labels_and_annotations_have_keys_with_at_most_one_prefix(
    metadata: dict[str, dict[str, str]], refused: int
) -> None:
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as http:
        body = {"metadata": {"name": "x"} | metadata}
        async with http.post("/api/v1/namespaces/default/configmaps", json=body) as response:
            answer = await response.json()
    assert len(answer.get("details", {}).get("causes", [])) == refused


async def test_a_strategic_patch_of_a_custom_resource_is_refused_with_the_types_that_are_read() -> None:
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as http:
        async with http.post(CRDS, json=crd({})) as response:
            assert response.status == 201
        body = {"apiVersion": "ratchets.example.com/v1", "kind": "Ratchet", "metadata": {"name": "it"}}
        async with http.post(OBJECTS, json=body) as response:
            assert response.status == 201
        async with http.patch(f"{OBJECTS}/it", data="{}", headers=headers) as response:
            answer = await response.json()
    assert answer["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )
    assert "details" not in answer
