"""Question: what does a read of the cache cost: by key, by index, by labels?

10,000 pods in the cache, and client-go's lister with the same pods beside: CPU time of a read, the selector given as
text each time. Its bias: pods come out undecoded, so reading more than their heads costs extra, as `peers` shows; and
client-go hands out pointers into its cache, which must not be changed, while kinformer makes a view of each object.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from typing import TYPE_CHECKING, Final

from benchmarks.api_replay import serving
from benchmarks.generator import pods
from benchmarks.objects import Memory
from benchmarks.peers import go
from benchmarks.progress import step
from benchmarks.table import Row, plain
from kinformer.client import CachedClient
from kinformer.informer import SharedInformer
from kinformer.informer.factory import SharedInformerFactory
from kinformer.resources import PODS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

OBJECTS: Final = 10_000
SELECTORS: Final = ("app=web-frontend", "app in (web-frontend,search-index),tier!=cache", "no-such-label")


def _least(run: Callable[[], object], turns: int) -> float:
    """CPU seconds of one call, the least of five series."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(turns):
            run()
        best = min(best, (time.process_time() - began) / turns)
    return best


async def ours() -> dict[str, float]:
    """Milliseconds by selector, microseconds per object "index" and "get"."""
    found: dict[str, float] = {}
    async with SharedInformer(Memory(pods(OBJECTS))) as informer:
        informer.add_indexers({"node": lambda pod: [pod.at("spec.nodeName", "")]})
        await informer.synced()
        lister = informer.lister
        for selector in SELECTORS:
            found[selector] = _least(lambda selector=selector: lister.list(selector=selector), 5) * 1e3  # type: ignore[misc]
        nodes = [f"node-{number:04}" for number in range(200)]
        objects = sum(len(lister.by_index("node", node)) for node in nodes)
        found["index"] = _least(lambda: [lister.by_index("node", node) for node in nodes], 5) / objects * 1e6
        keys = [obj.key for obj in lister.list()[:1000]]
        found["get"] = _least(lambda: [lister.get(key) for key in keys], 5) / len(keys) * 1e6
    return found


class MemoryClient:
    """A client whose only source is in memory, and that writes nothing."""

    def list_watch(self, *_: Any, **__: Any) -> Memory:
        """Return a source of Pods."""
        return Memory(pods(OBJECTS))

    def on_write(self, _: Callable[..., None]) -> Callable[[], None]:
        """Call nothing: there are no writes."""
        return lambda: None

    def __getattr__(self, verb: str) -> Any:
        raise NotImplementedError(verb)


def _answer(call: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits: what an `await` of it costs, without the loop's own turn."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("the cache did not answer at once")


async def through_the_client() -> dict[str, float]:
    """Microseconds of a `get`, and milliseconds of a list by namespace, through a cached client and of the lister."""
    client: Any = MemoryClient()
    async with SharedInformerFactory(client) as factory:
        lister = factory.informer(PODS).lister
        await factory.wait_for_cache_sync()
        cached = CachedClient(client, factory)
        keys = [obj.key for obj in lister.list()[:1000]]
        namespace = keys[0].namespace
        for key in keys:
            await cached.get(PODS, key.name, namespace=key.namespace)
        get = _least(lambda: [_answer(cached.get(PODS, key.name, namespace=key.namespace)) for key in keys], 5)
        return {
            "get": get / len(keys) * 1e6,
            "list": _least(lambda: _answer(cached.list(PODS, namespace=namespace)), 20) * 1e3,
            "lister": _least(lambda: lister.list(namespace), 20) * 1e3,
            "objects": len(lister.list(namespace)),
        }


def theirs() -> dict[str, float]:
    """The same of client-go.

    Raises:
        MissingError: it is not there.
    """
    program, encoded = go.built(), go.encoded(OBJECTS, 0)
    with serving(OBJECTS, 0, encoded) as url:
        run = [str(program), "lister", "-url", url, "-encoding", "protobuf"]
        done = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> list[Row]:
    step(0, 2, "kinformer")
    mine = asyncio.run(ours())
    client = asyncio.run(through_the_client())
    step(1, 2, "client-go")
    other: dict[str, float] = {}
    why = ""
    try:
        other = theirs()
    except (go.MissingError, subprocess.SubprocessError) as error:
        why = f"client-go not measured: {error}"
    rows = [
        Row("get by key", f"{mine['get']:.2f} µs"),
        Row("get through a cached client", f"{client['get']:.2f} µs", "≤ 3 µs", client["get"] <= 3, client["get"]),
        Row(
            f"list of the {client['objects']:.0f} of a namespace, through a cached client",
            f"{client['list']:.2f} ms ({client['lister']:.2f} ms by the lister)",
            "≤ 1.25 × the lister",
            client["list"] <= client["lister"] * 1.25,
            client["list"],
        ),
    ]
    for name, what, unit in (
        ("index", "by index, per object found", "µs"),
        *((selector, f"list by {selector!r} of {OBJECTS:,}", "ms") for selector in SELECTORS),
    ):
        beside = f" ({other[name]:.2f} {unit} client-go)" if name in other else ""
        value = f"{mine[name]:.2f} {unit}{beside}"
        if unit == "ms":
            rows.append(Row(what, value, "≤ 15 ms", mine[name] <= 15, mine[name]))
        else:
            rows.append(Row(what, value, number=mine[name]))
    return [*rows, Row(why, "")] if why else rows


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
