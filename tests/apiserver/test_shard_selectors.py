"""The embedded server answers shard selectors in the words of one with the feature gate ShardedListAndWatch."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.apiserver.shard_selectors import ACCEPTED, REFUSED
from tests.apiserver.test_same_answers import JSON, answers

if TYPE_CHECKING:
    from tests.apiserver.clusters import Cluster


async def test_a_malformed_shard_selector_is_refused_with_its_reason_on_list_and_watch(cluster: Cluster) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace}/pods?shardSelector="
    for end in ("", "&watch=1&timeoutSeconds=1"):
        questions = [("GET", f"{path}{quote(text)}{end}", None, JSON) for text, _ in REFUSED]
        got = await answers(cluster, questions)
        told = {text: (code, body["message"]) for (text, _), (code, body) in zip(REFUSED, got, strict=True)}
        assert told == {text: (500, f"invalid shard selector: {reason}") for text, reason in REFUSED}


async def test_a_shard_selector_is_accepted_however_it_is_laid_out(cluster: Cluster) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace}/pods?shardSelector="
    questions = [("GET", f"{path}{quote(text)}", None, JSON) for text in ACCEPTED]
    assert [code for code, _ in await answers(cluster, questions)] == [200] * len(ACCEPTED)


async def test_an_empty_shard_selector_selects_everything(cluster: Cluster) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace}/pods?shardSelector="
    assert [code for code, _ in await answers(cluster, [("GET", path, None, JSON)])] == [200]
