"""The kinds that Kubernetes 1.37 made stable are answered as by a real kube-apiserver, whose answers are kept."""

from __future__ import annotations

import json

import aiohttp

from kinformer.testing import ApiServer
from tests.apiserver.newer_kinds import KEPT, answer


async def test_the_kinds_of_1_37_are_answered_as_by_the_real_server() -> None:
    kept = json.loads(KEPT.read_text())
    assert {row[-1]["code"] for row in kept} == {200, 201, 422}
    async with ApiServer(version="1.37") as server, aiohttp.ClientSession(server.url) as session:
        ours = [await answer(session, *row[:-1]) for row in kept]
    different = [(*row[:2], row[-1], one) for row, one in zip(kept, ours, strict=True) if one != row[-1]]
    assert different == []
