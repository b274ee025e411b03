"""Shard selectors of the embedded server: the answers of kube-apiserver 1.36 (pkg/sharding/parser.go)."""

from __future__ import annotations

import json

import pytest

from kinformer.testing import Refusal
from kinformer.testing._apiserver.rules.shard_selectors import parse_shard_selector
from tests.apiserver.shard_selectors import ACCEPTED, REFUSED
from tests.paths import RECORDINGS


@pytest.mark.parametrize("text", ACCEPTED)
def test_whatever_cel_reads_the_same_selects_the_same(text: str) -> None:
    selects, echo = parse_shard_selector(text)
    assert selects({"metadata": {"uid": "a", "namespace": "b"}})
    assert echo.startswith("shardRange(object.metadata.")
    assert '"' not in echo


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_each_fault_is_refused_in_the_words_of_the_real_server(text: str, reason: str) -> None:
    with pytest.raises(Refusal) as info:
        parse_shard_selector(text)
    assert info.value.code == 500
    assert info.value.message == f"invalid shard selector: {reason}"


@pytest.mark.parametrize("text", ["shardRange(", "a ||", "a b", "#", "a.1", "(a", "'open", "0x0"])
def test_what_is_no_cel_is_a_parse_error(text: str) -> None:
    with pytest.raises(Refusal) as info:
        parse_shard_selector(text)
    assert info.value.code == 500
    assert info.value.message.startswith("invalid shard selector: CEL parse error: Syntax error: ")


def test_shards_are_cut_by_the_same_hash_as_on_the_real_server() -> None:
    """The recorded half shard holds exactly the pods of the recorded list whose uids hash into it."""
    request = json.loads((RECORDINGS / "list-shard.json").read_text())
    sharded = json.loads(request["response"]["body"])
    everything = json.loads(json.loads((RECORDINGS / "list.json").read_text())["response"]["body"])
    selects, echo = parse_shard_selector("shardRange(object.metadata.uid,'0x0000000000000000','0x8000000000000000')")
    chosen = [item["metadata"]["name"] for item in everything["items"] if selects(item)]
    assert chosen == [item["metadata"]["name"] for item in sharded["items"]]
    assert 0 < len(chosen) < len(everything["items"])
    assert echo == sharded["metadata"]["shardInfo"]["selector"]
