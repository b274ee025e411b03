"""Schemas of CRDs are refused in the words of a real kube-apiserver, kept in tests/data/structures-1.36.json."""

from __future__ import annotations

import json

import aiohttp
import pytest

from kinformer.testing import ApiServer
from kinformer.testing._apiserver.rules.go_pattern_errors import pattern_error
from tests.apiserver.structures import KEPT, PATTERNS, answers, cases

REAL = json.loads(KEPT.read_text())


def test_every_schema_has_an_answer() -> None:
    assert REAL.keys() == cases().keys()


async def test_each_schema_is_judged_as_by_the_real_server() -> None:
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as http:
        ours = await answers(http)
    assert {title: (texts, ours[title]) for title, texts in REAL.items() if ours[title] != texts} == {}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_is_read_as_by_go(pattern: str) -> None:
    texts = REAL[f"pattern {pattern}"]
    assert pattern_error(pattern) == (texts[0].partition("but isn't: ")[2] if texts else "")
