"""`kinformer demo`: it shows the informers at work, and fails when a cache is wrong in the end."""

from __future__ import annotations

import contextlib
import io
import time
from typing import TYPE_CHECKING, Any, Self

from kinformer.cli._simulated import demo as _demo
from kinformer.cli._simulated.compare import compare
from kinformer.cli._simulated.plain import PlainView
from kinformer.objects import ObjectKey
from tests.cli.conftest import AT_ONCE, end, start

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from kinformer.cli._simulated.tally import Scene
    from tests.cli.conftest import Outcome


def test_the_demo_ends_with_each_cache_equal_to_the_server(kinformer: Callable[..., Outcome]) -> None:
    outcome = kinformer("demo", "--for", "3", "--pods", "60", "--seed", "5")
    assert outcome.code == 0, outcome.err
    assert "caches in sync" in outcome.out
    assert "the server cuts all 7 watches and forgets its history" in outcome.out
    assert "all 7 informers watch again" in outcome.out
    assert outcome.out.splitlines()[-1].startswith("7 caches, ")
    assert outcome.out.splitlines()[-1].endswith("each cache is equal to the server.")
    assert "\x1b" not in outcome.out


async def test_the_demo_fails_when_a_cache_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    original = _demo._Demo._compare

    async def sabotaged(demo: Any) -> Any:
        informer = demo._informers["nodes"]
        # Or a list that is still to come, after the server has forgotten its history, would heal the cache.
        await informer.relist(timeout=60)
        (first, *_) = informer.lister.list()
        informer.indexer.delete(first.key)
        return await original(demo)

    monkeypatch.setattr(_demo._Demo, "_compare", sabotaged)
    monkeypatch.setattr(_demo, "CATCH_UP_TIMEOUT", 3.0)  # of which the others need some on a busy machine
    view = PlainView()
    monkeypatch.setattr(view, "say", told.append)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = await _demo.demo(_demo.DemoPlan(seconds=1.0, seed=3, pods=10, nodes=2), view)
    assert code == 1
    assert told[-1] == "1 of 7 caches differ from the server: nodes"
    assert "missing: node-" in out.getvalue()


def test_ctrl_c_ends_the_demo_at_once_and_without_a_traceback() -> None:
    process = start("demo", "--for", "60")
    assert process.stdout is not None
    while "caches in sync" not in process.stdout.readline():
        pass
    asked = time.perf_counter()
    outcome = end(process)
    assert time.perf_counter() - asked < AT_ONCE
    assert (outcome.code, outcome.err) == (130, "")


def test_comparing_tells_missing_surplus_and_different_apart() -> None:
    def key(name: str) -> ObjectKey:
        return ObjectKey("ns", name)

    comparison = compare({key("a"): {"x": 1}, key("b"): {"x": 1}}, {key("b"): {"x": 2}, key("c"): {}})
    assert not comparison.equal
    assert (comparison.missing, comparison.surplus, comparison.different) == (("ns/c",), ("ns/a",), ("ns/b",))
    assert comparison.differences() == "missing: ns/c; surplus: ns/a; different: ns/b"
    assert compare({key("a"): {}}, {key("a"): {}}).equal


async def test_the_live_view_draws_every_scene_in_the_lines_it_has() -> None:
    from rich.console import Console

    from kinformer.cli._simulated.live import draw

    scenes: list[Scene] = []

    class Keeper:
        interval = 0.1

        def show(self, scene: Scene) -> None:
            scenes.append(scene)

        def finish(self, results: object) -> None: ...
        def say(self, text: str) -> None: ...
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *exc_info: object) -> None: ...

    assert await _demo.demo(_demo.DemoPlan(seconds=2.0, seed=3, pods=30, nodes=2), Keeper()) == 0
    assert len(scenes) > 5
    for scene in scenes:
        console = Console(width=80, height=30, file=io.StringIO(), record=True)
        console.print(draw(scene, 30))
        lines = console.export_text().splitlines()
        assert len(lines) <= 30
        assert any("backups.demo.example.com" in line for line in lines)
