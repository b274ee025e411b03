"""Bodies are refused with the code and the words of a real kube-apiserver, whose answers are kept."""

from __future__ import annotations

import json

import aiohttp

from kinformer.testing import ApiServer
from tests.apiserver.refusals import CASES, KEPT, answers

KEPT_ANSWERS = json.loads(KEPT.read_text())


def test_every_case_has_a_kept_answer() -> None:
    assert KEPT_ANSWERS.keys() == CASES.keys()
    assert {answer["code"] for answer in KEPT_ANSWERS.values()} <= {400, 422}


async def test_each_body_is_refused_as_by_the_real_server() -> None:
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as session:
        ours = await answers(session)
    assert {title: (answer, ours[title]) for title, answer in KEPT_ANSWERS.items() if ours[title] != answer} == {}
