"""Whatever a server answers, wherever it may: nothing but KinformerErrors comes out, and the loop goes on turning.

60 answers to each question here, each of a seed of its own, which the failure names; KINFORMER_ANSWERS sets another
number.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import json
import os
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import Client, ClusterConfig
from kinformer.errors import KinformerError
from kinformer.resources import EVENTS, PODS
from tests.wire.raw_server import CHUNKED, LIST, RawServer, answer, chunk, event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

CASES = int(os.environ.get("KINFORMER_ANSWERS", "60"))
HELD_SECONDS = 0.025
"""The longest CPU time that one callback may take."""

KEYS = [
    "kind",
    "apiVersion",
    "metadata",
    "items",
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "continue",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "type",
    "object",
    "code",
    "reason",
    "message",
    "details",
    "causes",
    "field",
    "retryAfterSeconds",
    "status",
    "spec",
    "rows",
    "cells",
    "columnDefinitions",
    "priority",
    "groups",
    "versions",
    "resources",
    "verbs",
    "preferredVersion",
    "groupVersion",
    "remainingItemCount",
    "major",
    "minor",
    "gitVersion",
    "k8s.io/initial-events-end",
]
TEXTS = [
    "",
    "a",
    "a/b",
    "default",
    "5",
    "abc",
    "9" * 5_000,
    "-1",
    "1e400",
    "\u0000",
    "\ud83d\ude00",
    "é" * 50,
    "List",
    "PodList",
    "Pod",
    "Status",
    "Table",
    "PartialObjectMetadata",
    "APIGroupDiscoveryList",
    "APIVersions",
    "APIGroupList",
    "ADDED",
    "MODIFIED",
    "DELETED",
    "BOOKMARK",
    "ERROR",
    "Expired",
    "FieldManagerConflict",
    "true",
    'conflict with "',
    "2026-01-01T00:00:00Z",
]
STATUSES = ["200 OK"] * 6 + [
    "201 Created",
    "204 No Content",
    "206 Partial",
    "304 Not Modified",
    "302 Found",
    "400 Bad",
    "403 No",
    "404 Not Found",
    "409 Conflict",
    "410 Gone",
    "415 Type",
    "422 Invalid",
    "429 Slow",
    "500 Oh",
    "503 Busy",
    "504 Time",
    "599 X",
    "999 Y",
    "101 Switch",
]
HEADERS = [
    "Retry-After: 0",
    "Retry-After: x",
    "Retry-After: " + "9" * 400,
    "Date: nonsense",
    "Location: http://[",
    "Content-Encoding: br",
    "Content-Encoding: deflate",
    "Warning: 299 - x",
    "Content-Type: ;;;=",
    "Content-Type: text/html",
    "Set-Cookie: a=b",
    "X: \xff",
]


def anything(rng: random.Random, depth: int = 0) -> Any:
    """A JSON value, made of words that mean something to us."""
    match rng.randrange(10 if depth < 5 else 7):
        case 0:
            return None
        case 1:
            return rng.choice([True, False])
        case 2:
            return rng.choice([0, 1, -1, 5, 410, 2**31, 2**63, 2**64, 10**40, 1.5, -0.0, 1e308])
        case 3 | 4 | 5 | 6:
            return rng.choice(TEXTS)
        case 7:
            return [anything(rng, depth + 1) for _ in range(rng.randrange(4))]
        case _:
            return {rng.choice(KEYS): anything(rng, depth + 1) for _ in range(rng.randrange(6))}


def near(value: Any, rng: random.Random) -> Any:
    """A value with something in it replaced."""
    if rng.random() < 0.15:
        return anything(rng, 3)
    if isinstance(value, dict):
        return {(rng.choice(KEYS) if rng.random() < 0.03 else key): near(each, rng) for key, each in value.items()}
    if isinstance(value, list):
        return [near(each, rng) for each in value]
    return value


STATUS = {
    "kind": "Status",
    "code": 409,
    "reason": "Conflict",
    "message": "no",
    "details": {
        "name": "a",
        "kind": "pods",
        "retryAfterSeconds": 0,
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "x"', "field": ".a"}],
    },
}
TABLE = {
    "kind": "Table",
    "metadata": {"resourceVersion": "5"},
    "columnDefinitions": [{"name": "Name", "priority": 0}],
    "rows": [{"cells": ["a"], "object": {"metadata": {"name": "a", "namespace": "d"}}}],
}
DISCOVERY = {
    "kind": "APIGroupDiscoveryList",
    "items": [
        {
            "metadata": {"name": "x.io"},
            "versions": [
                {
                    "version": "v1",
                    "resources": [
                        {"resource": "as", "responseKind": {"kind": "A"}, "scope": "Namespaced", "verbs": ["list"]}
                    ],
                }
            ],
        }
    ],
}
GROUPS = {
    "kind": "APIGroupList",
    "groups": [{"name": "x.io", "versions": [{"version": "v1", "groupVersion": "x.io/v1"}]}],
}
KNOWN = [
    json.loads(LIST),
    json.loads(event("ADDED", "a", 5)),
    json.loads(event("ADDED", "a", 5))["object"],
    STATUS,
    TABLE,
    DISCOVERY,
    GROUPS,
    {"type": "ERROR", "object": STATUS},
    {"type": "ADDED", "object": TABLE},
]


def body(rng: random.Random) -> bytes:
    """Lines of JSON, mangled or not, or bytes."""
    if rng.random() < 0.15:
        return rng.randbytes(rng.choice([0, 1, 100, 3_000]))
    values = [
        near(rng.choice(KNOWN), rng) if rng.random() < 0.7 else anything(rng) for _ in range(rng.choice([1, 1, 2, 30]))
    ]
    indent = 2 if rng.random() < 0.1 else None
    text = "\n".join(json.dumps(value, indent=indent, separators=None if indent else (",", ":")) for value in values)
    data = text.encode("utf-8", "surrogatepass") + rng.choice([b"", b"\n"])
    if rng.random() < 0.15:
        depth = rng.choice([100, 900, 5_000, 100_000])
        data = data.replace(b'"a"', b"[" * depth + b"]" * depth, 1)
    while rng.random() < 0.2:
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.randbytes(rng.randrange(4)) + data[at + rng.randrange(4) :]
    return data


def arbitrary(rng: random.Random) -> bytes:
    """All of a response."""
    if rng.random() < 0.05:
        return rng.randbytes(rng.randrange(300))
    content = body(rng)
    headers = [rng.choice(HEADERS)] if rng.random() < 0.2 else []
    if rng.random() < 0.1:
        headers, content = ["Content-Encoding: gzip"], gzip.compress(content)[: rng.choice([5, 1 << 20])]
    status = rng.choice(STATUSES)
    if rng.random() < 0.5:
        return answer(content, status, *headers)
    head = CHUNKED.replace(b"200 OK", status.encode()).replace(
        b"Transfer", b"".join(each.encode("latin-1") + b"\r\n" for each in headers) + b"Transfer"
    )
    size = rng.choice([1 << 20, 50])
    pieces = b"".join(chunk(content[at : at + size]) for at in range(0, len(content), size))
    return head + pieces + rng.choice([b"0\r\n\r\n", b"0\r\n\r\n", b"", b"zz\r\n"])


async def each(source: Any) -> None:
    async for page in source:
        for item in page.items:
            await touch(item)


async def touch(thing: Any) -> None:
    """Read what everybody reads of an object; these are head fields, which decoding has looked at."""
    _ = thing.name, thing.namespace, thing.uid, thing.resource_version, dict(thing.labels), repr(thing)


async def watched(watch: Any) -> None:
    async with watch as batches:
        async for batch in batches:
            for change in batch.events:
                await touch(change.object)
            for failure in batch.failures:
                str(failure)


POD = {"metadata": {"name": "a", "namespace": "d"}}
QUESTIONS: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "get": lambda c: c.get(PODS, "a", namespace="d"),
    "list": lambda c: c.list(PODS),
    "metadata list": lambda c: c.list(PODS, metadata_only=True),
    "create": lambda c: c.create(PODS, POD),
    "evict": lambda c: c.create(PODS, POD, subresource="eviction"),
    "replace": lambda c: c.replace(PODS, POD),
    "patch": lambda c: c.patch(PODS, "a", {}, namespace="d"),
    "apply": lambda c: c.apply(PODS, POD, field_manager="x"),
    "delete": lambda c: c.delete(PODS, "a", namespace="d"),
    "delete_collection": lambda c: c.delete_collection(PODS, namespace="d"),
    "resolve": lambda c: c.resolve("widgets.example.com"),
    "resources": lambda c: c.resources(),
    "version": lambda c: c.version(),
    "pages": lambda c: each(c.list_watch(EVENTS).list(limit=5)),
    "rows": lambda c: each(c.table_watch(PODS).list()),
    "watch": lambda c: watched(c.list_watch(PODS).watch(resource_version="5", timeout_seconds=1)),
    "metadata watch": lambda c: watched(
        c.list_watch(PODS, metadata_only=True).watch(resource_version="5", timeout_seconds=1)
    ),
    "streaming list": lambda c: watched(
        c.list_watch(PODS).watch(resource_version="", timeout_seconds=1, send_initial_events=True)
    ),
    "row watch": lambda c: watched(c.table_watch(PODS).watch(resource_version="5", timeout_seconds=1)),
}


@contextlib.contextmanager
def held() -> Iterator[list[float]]:
    """The CPU seconds of each callback of the loop that takes more than 5 ms."""
    found: list[float] = []
    real = asyncio.events.Handle._run

    def run(self: asyncio.Handle) -> None:
        began = time.thread_time()
        real(self)
        if (took := time.thread_time() - began) > 0.005:
            found.append(took)

    asyncio.events.Handle._run = run  # type: ignore[method-assign]
    try:
        yield found
    finally:
        asyncio.events.Handle._run = real  # type: ignore[method-assign]


@pytest.fixture
def _only_our_garbage() -> None:
    """Free the garbage of earlier tests: to walk over it is no work of the client."""
    gc.collect()


async def ask(question: str, url: str) -> tuple[Exception | None, float]:
    """Return the exception that the question raised, and the longest callback in CPU seconds."""
    async with Client(ClusterConfig.for_server(url, trust_env=False), timeout=2, retry=None) as client:
        with held() as long:
            raised: Exception | None = None
            try:
                await QUESTIONS[question](client)
            except Exception as error:
                raised = error
    return raised, max(long, default=0.0)


@pytest.mark.usefixtures("_only_our_garbage")
@pytest.mark.parametrize("question", QUESTIONS)
async def test_an_arbitrary_answer_comes_to_a_result_or_to_an_error_of_ours(question: str) -> None:
    said = [b""]

    def respond(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(said[0])

    outcomes = {"result": 0, "error": 0}
    async with RawServer(respond) as server:
        for seed in range(CASES):
            rng = random.Random(f"{question} {seed}")
            said[0] = arbitrary(rng)
            raised, longest = await ask(question, server.url)
            assert raised is None or isinstance(raised, KinformerError), (seed, raised, said[0][:300])
            # No body of a response gets into an error, except what a Status or a refusal in plain text says.
            assert len(str(raised)) < 6_000, (seed, str(raised)[:300])
            outcomes["result" if raised is None else "error"] += 1
            for _ in range(2):
                # A busy machine can make one measurement long, but not the least of three.
                if longest >= HELD_SECONDS:
                    longest = min(longest, (await ask(question, server.url))[1])
            assert longest < HELD_SECONDS, (seed, longest, said[0][:300])
    assert outcomes["error"] > 0
