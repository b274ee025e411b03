"""Model-based: whatever the schedule of writes, faults, handlers and time, in the end each cache is the server, and
no handler has ever been told an impossible history.

800 schedules here, and a quarter as many with compact storage; `make soak` plays 50,000 (KINFORMER_SCHEDULES). What
was found so far stands below by name.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests import storages
from tests.properties.oracle import every
from tests.properties.schedules import run, schedules

if TYPE_CHECKING:
    from kinformer.cache.storage import Storage

TOTAL = int(os.environ.get("KINFORMER_SCHEDULES", "800"))
PARTS = 4
"""So that they can be spread over processes."""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("part", "storage"), [*((part, "plain") for part in range(PARTS)), (PARTS, "compact")])
def test_every_schedule_ends_with_each_cache_equal_to_the_server_and_legal_histories(
    part: int, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storages.use(storage, monkeypatch)

    every(schedules, run, examples=TOTAL // PARTS, start=part)


NAMED: dict[str, tuple[list[tuple[Any, ...]], bool, int, bool]] = {
    "an own write takes the name of an object that went, and is outside of a cache that does not know of that yet": (
        [("write", "a", "x", ""), ("sleep", 0.5), ("delete", "a"), ("own write", "a", "y")],
        False,
        0,
        False,
    ),
    "an object observed ahead of a list that is older": (
        [("write", "a", "x", ""), ("sleep", 3.0), ("observe", "b", "x"), ("end", "410"), ("sleep", 0.005)],
        True,
        0,
        False,
    ),
    "deleted and made anew while nobody watched": (
        [
            ("write", "a", "x", ""),
            ("sleep", 3.0),
            ("watch errors", ["refused"] * 6),
            ("end", "broken"),
            ("recreate", "a", "x"),
        ],
        False,
        2,
        False,
    ),
    "a lagging server after an expired version": (
        [
            ("write", "a", "x", ""),
            ("sleep", 3.0),
            ("delete", "a"),
            ("sleep", 3.0),
            ("lag", 5),
            ("end", "410"),
            ("sleep", 3.0),
        ],
        False,
        0,
        False,
    ),
    "a transform that fails, then works": (
        [("write", "a", "x", "bad transform"), ("sleep", 3.0), ("write", "a", "x", "")],
        True,
        0,
        True,
    ),
}


@pytest.mark.parametrize("storage", storages.STORAGES)
@pytest.mark.parametrize("name", NAMED)
def test_schedule(name: str, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storages.use(storage, monkeypatch)
    run(NAMED[name])
