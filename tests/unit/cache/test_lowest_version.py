"""The lowest version of many parts is right after each move, and does not cost a look at each part."""

from __future__ import annotations

import random
from dataclasses import dataclass

from kinformer.cache._lowest_version import SPARE_ENTRIES, LowestVersion


@dataclass(eq=False)
class Part:
    version: int = 0


def test_it_is_the_minimum_of_the_listed_parts_whatever_they_do() -> None:
    chance = random.Random(3)
    parts: set[Part] = set()
    lowest = LowestVersion(parts)
    for _ in range(3000):
        present = sorted(parts, key=id)
        match chance.choices(["add", "close", "move", "restore"], [4, 3, 20, 1])[0]:
            case "add":
                parts.add(Part())
            case "close" if present:
                parts.discard(chance.choice(present))
            case how if present:
                part = chance.choice(present)
                before = part.version
                part.version = chance.randrange(50) if how == "restore" else before + chance.randrange(20)
                lowest.moved(part, before)
        if chance.random() < 0.7:
            assert lowest.version == min((part.version for part in parts if part.version), default=0)


def test_closed_parts_are_not_kept_behind_one_that_stays() -> None:
    stays = Part(1)
    parts = {stays}
    lowest = LowestVersion(parts)
    lowest.moved(stays, 0)
    for version in range(2, 2000):
        part = Part(version)
        parts.add(part)
        lowest.moved(part, 0)
        parts.discard(part)
    assert lowest.version == 1
    assert len(lowest._entries) <= SPARE_ENTRIES + 4
