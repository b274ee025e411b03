"""Formats in the schemas of CRDs: the verdicts of a real kube-apiserver, kept in tests/data/formats-1.36.json."""

from __future__ import annotations

import json

import aiohttp
import pytest

from kinformer.testing import ApiServer
from kinformer.testing._apiserver.rules.custom_resource_pruning import pruned
from kinformer.testing._apiserver.rules.formats import format_of, has_format
from kinformer.testing._apiserver.rules.schema_values import check_schema
from kinformer.testing._apiserver.store.status import invalid
from tests.apiserver.formats import CRDS, FORMATS, KEPT, TEXTS, TYPED, VALUES, crd

REAL = json.loads(KEPT.read_text())


def test_every_text_has_a_verdict() -> None:
    assert list(REAL["texts"]) == list(dict.fromkeys(TEXTS))
    assert {name: len(messages) for name, messages in REAL["typed"].items()} == dict.fromkeys(TYPED, len(VALUES))


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_takes_the_texts_that_the_real_server_takes(name: str) -> None:
    form = format_of({"type": "string", "format": name})
    ours = {text for text in REAL["texts"] if form and not has_format(text, form)}
    assert ours == {text for text, refusing in REAL["texts"].items() if name in refusing.split(" ")}


@pytest.mark.parametrize("name", TYPED)
def test_a_value_of_any_type_is_judged_in_the_words_of_the_real_server(name: str) -> None:
    schema = {"type": "object", "properties": {name: TYPED[name]}}
    for value, message in zip(VALUES, REAL["typed"][name], strict=True):
        causes = check_schema(pruned({name: value}, schema), schema, "")
        assert (invalid("Format", "it", causes, "formats.example.com").message if causes else "") == message


async def test_a_crd_with_an_unknown_format_is_taken_with_a_warning_only_once() -> None:
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as http:
        async with http.post(CRDS, json=crd()) as response:
            assert sorted(response.headers.getall("Warning")) == REAL["warnings"]
            created = await response.json()
        async with http.put(f"{CRDS}/{created['metadata']['name']}", json=created) as response:
            assert "Warning" not in response.headers
