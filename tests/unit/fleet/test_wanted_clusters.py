"""What a fleet keeps of each answer of its provider."""

from __future__ import annotations

from typing import Any

import pytest

from kinformer import ClusterConfig
from kinformer.errors import ConfigError
from kinformer.fleet._wanted_clusters import WantedClusters

GOOD = ClusterConfig.for_server("http://127.0.0.1:1")
BAD = ConfigError("no such context")


@pytest.fixture
def wanted() -> WantedClusters:
    return WantedClusters("f")


def test_an_answer_takes_the_place_of_the_one_before(wanted: WantedClusters) -> None:
    assert wanted.take({"a": GOOD, "b": GOOD}, 1.0) == {}
    wanted.take({"b": GOOD, "c": BAD}, 2.0)
    assert [*wanted.configs] == ["b"]
    assert [*wanted.invalid()] == ["c"]
    wanted.take({}, 3.0)
    assert (wanted.configs, wanted.invalid()) == ({}, {})


def test_a_cluster_whose_newest_configuration_is_unusable_keeps_the_one_before(wanted: WantedClusters) -> None:
    wanted.take({"a": GOOD}, 1.0)
    assert wanted.take({"a": BAD}, 2.0) == {"a": BAD}
    assert wanted.configs == {"a": GOOD}
    assert wanted.invalid() == {}


def test_an_unusable_cluster_is_so_since_it_was_first_and_is_logged_once(
    wanted: WantedClusters, caplog: pytest.LogCaptureFixture
) -> None:
    for now in (1.0, 2.0):
        wanted.take({"a": BAD}, now)
    assert wanted.invalid()["a"].since == 1.0
    assert [record.getMessage() for record in caplog.records] == [
        "fleet f: cluster 'a' cannot be used: no such context"
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [(7, "a int, not a string"), ("", "0 characters"), ("x" * 254, "254 characters"), ("a\n", "cannot be printed")],
)
def test_what_cannot_be_a_name_is_refused_and_the_other_clusters_stay(
    wanted: WantedClusters, name: Any, reason: str
) -> None:
    wanted.take({name: GOOD, "x" * 253: GOOD}, 1.0)
    assert [*wanted.configs] == ["x" * 253]
    ((shown, why),) = wanted.refused.items()
    assert shown == repr(name)[:100]
    assert reason in why


def test_what_is_no_configuration_and_no_error_is_unusable(wanted: WantedClusters) -> None:
    nothing: Any = None
    wanted.take({"a": nothing}, 1.0)
    assert "NoneType is no ClusterConfig" in str(wanted.invalid()["a"].error)


def test_an_answer_that_is_no_mapping_is_refused_and_the_one_before_stays(wanted: WantedClusters) -> None:
    wanted.take({"a": GOOD}, 1.0)
    nothing: Any = ["a"]
    with pytest.raises(TypeError, match="yields mappings from names to configurations, not list"):
        wanted.take(nothing, 2.0)
    assert [*wanted.configs] == ["a"]
