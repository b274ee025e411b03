"""1,900 requests of every kind: the embedded server answers most of them as a real one did.

The answers of the real server are kept in tests/data (`python -m tests.apiserver.parity record`). The numbers that may
not get worse stand in tests/data/ratchets.json.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer.testing import ApiServer
from tests.apiserver.parity.__main__ import embedded, real
from tests.apiserver.parity.exchange import RELEASES, compared, normalised, read_record
from tests.apiserver.parity.requests import JSON, MERGE, NAMESPACE, STRATEGIC, collection, kinds
from tests.apiserver.parity.seeds import seed
from tests.apiserver.parity.sequences import all_requests
from tests.paths import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

RATCHETS = json.loads((DATA / "ratchets.json").read_text())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("release", RELEASES)
async def test_the_embedded_server_answers_as_a_real_one_did(release: str) -> None:
    ratchet = RATCHETS[f"parity {release}"]
    found = compared(read_record(release), await embedded(release))
    assert len(found.same) >= ratchet["same"], found.other_bodies
    assert len(found.other_codes) <= ratchet["other_codes"], found.other_codes
    assert len(found.taken) <= ratchet["taken"], found.taken


@pytest.mark.timeout(120)
async def test_no_change_of_a_body_of_any_kind_is_answered_5xx() -> None:
    chosen = random.Random(5)
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as http:
        await http.post("/api/v1/namespaces", json={"metadata": {"name": NAMESPACE}})
        for kind in kinds() * 4:
            body = seed(kind.api_version, kind.plural, kind.kind)
            name = body["metadata"]["name"]
            await http.post(collection(kind), json=body)
            spoil(body, chosen)
            method, path, content_type = chosen.choice(
                [
                    ("POST", f"{collection(kind)}?dryRun=All", JSON),
                    ("PUT", f"{collection(kind)}/{name}", JSON),
                    ("PATCH", f"{collection(kind)}/{name}", MERGE),
                    ("PATCH", f"{collection(kind)}/{name}", STRATEGIC),
                ]
            )
            data, headers = json.dumps(body), {"Content-Type": content_type}
            async with http.request(method, path, data=data, headers=headers) as answer:
                assert answer.status < 500, (method, path, data, await answer.text())


ODD: list[Any] = [
    *(None, 0, -1, 1.5, True, "", "x", [], {}, [None], [{}], [[]], {"a": None}, {"a": {}}, 10**30, "1e999", "{{"),
    *(["x", "x"], {"": ""}),
]


def spoil(body: dict[str, Any], chosen: random.Random) -> None:
    """Put something odd in two places of an object."""
    for _ in range(2):
        parent, key = chosen.choice([*places(body)])
        parent[key] = chosen.choice(ODD)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Return every place below a value: the container, and the key or the position."""
    for key in [*value] if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


@pytest.mark.parametrize("release", RELEASES)
def test_the_record_has_an_answer_to_each_request(release: str) -> None:
    assert read_record(release).keys() == {request.title for request in all_requests()}


def test_the_record_holds_on_any_day() -> None:
    ages = ["7s", "5m2s", "329d", "1y12d"]
    assert normalised({"cells": [*ages, "", "d", "pod/p"]}) == {"cells": ["<age>"] * len(ages) + ["", "d", "pod/p"]}


@pytest.mark.real
@pytest.mark.timeout(300)
async def test_a_real_server_answers_as_it_did() -> None:
    release, answers = await real()
    found = compared(read_record(release), answers)
    assert (found.other_codes, found.other_bodies) == ([], [])
