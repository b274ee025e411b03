"""1,900 requests of every kind: the embedded server answers most of them as a real one did.

The answers of the real server are kept in tests/data (`python -m tests.apiserver.parity record`). The numbers that may
not get worse stand in tests/data/ratchets.json.
"""

from __future__ import annotations

import json

import pytest

from tests.apiserver.parity.__main__ import embedded, real
from tests.apiserver.parity.exchange import compared, read_record
from tests.apiserver.parity.sequences import all_requests
from tests.paths import DATA

RATCHET = json.loads((DATA / "ratchets.json").read_text())["parity"]


@pytest.mark.timeout(120)
async def test_the_embedded_server_answers_as_a_real_one_did() -> None:
    found = compared(read_record(), await embedded())
    assert len(found.same) >= RATCHET["same"], found.other_bodies
    assert len(found.other_codes) <= RATCHET["other_codes"], found.other_codes
    assert len(found.taken) <= RATCHET["taken"], found.taken


def test_the_record_has_an_answer_to_each_request() -> None:
    assert read_record().keys() == {request.title for request in all_requests()}


@pytest.mark.real
@pytest.mark.timeout(300)
async def test_a_real_server_answers_as_it_did() -> None:
    found = compared(read_record(), await real())
    assert (found.other_codes, found.other_bodies) == ([], [])
