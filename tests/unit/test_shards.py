"""Hash ranges are sets: their algebra, and the selector that a server reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer import Ranges, Shard
from kinformer._shards import hash_of, missing_share, same_shard

_slices = st.sets(st.integers(0, 15))


def of(slices: set[int]) -> Ranges:
    return Ranges.of_slices(slices, of=16)


@given(_slices, _slices, st.uuids())
def test_ranges_are_sets(one: set[int], two: set[int], uid: object) -> None:
    assert of(one) | of(two) == of(one | two)
    assert of(one) & of(two) == of(one & two)
    assert of(one) - of(two) == of(one - two)
    assert of(one).is_within(of(two)) is (one <= two)
    assert bool(of(one)) is bool(one)
    assert of(one).covers(str(uid)) is (hash_of(str(uid)) * 16 >> 64 in one)


@given(st.lists(_slices, max_size=4), _slices)
def test_what_shares_lack_is_in_none_of_them(had: list[set[int]], wanted: set[int]) -> None:
    lacks, missing = missing_share(of(wanted), [of(slices) for slices in had])
    rest = wanted.difference(*had)
    assert lacks is bool(rest)
    assert not lacks or same_shard(missing, of(rest))


def test_what_everything_lacks_is_nothing_and_a_share_lacks_the_rest_of_everything() -> None:
    assert missing_share(Shard(0, of=2), [None]) == (False, None)
    assert missing_share(None, []) == (True, None)
    lacks, rest = missing_share(None, [Shard(0, of=2)])
    assert lacks
    assert same_shard(rest, Shard(1, of=2))


def test_neighbouring_slices_are_one_range_of_the_selector() -> None:
    ranges = Ranges.of_slices({0, 1, 3}, of=4, by="namespace")
    assert str(ranges) == (
        "shardRange(object.metadata.namespace, '0x0000000000000000', '0x8000000000000000') || "
        "shardRange(object.metadata.namespace, '0xc000000000000000', '0x10000000000000000')"
    )
    assert Ranges.everything() == Ranges.of_slices(range(256))
    assert not Ranges()


def test_ranges_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="slices are counted from 0"):
        Ranges.of_slices({4}, of=4)
    with pytest.raises(ValueError, match="not within 0 to"):
        Ranges(((5, 4),))
    with pytest.raises(ValueError, match="by their 'uid', 'namespace', 'owner' or 'label'"):
        Ranges(by="name")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot be combined"):
        Ranges.everything() | Ranges.everything(by="namespace")
