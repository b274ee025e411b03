"""Faults as text, as `kinformer serve-api --fault` takes them."""

from __future__ import annotations

import asyncio
import inspect
import itertools

import aiohttp
import pytest

from kinformer.testing import ApiServer, Faults
from kinformer.testing.fault_spec import FAULTS, FaultSpec, described


def test_a_fault_is_read_with_its_parameters_in_their_types() -> None:
    spec = FaultSpec.parse("fail:status=429,verb=list,retry-after=3,after=1.5,every=60")
    assert spec == FaultSpec("fail", {"status": 429, "verb": "list", "retry_after": 3}, 1.5, 60.0)
    assert FaultSpec.parse("drop") == FaultSpec("drop", {}, 0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "fault 'nonsense' is unknown; there are down, drop"),
        ("drop:wrong=1", "'wrong=1' is not one of resource=..., after=..., every=..., about=..."),
        ("drop:resource", "'resource' is not one of"),
        ("fail:status=many", "status='many' is not a whole number"),
        ("delay:seconds=long", "seconds='long' is not a number"),
        ("fail:verb=shout", "verb='shout' is not one of get, list, watch"),
        ("corrupt", "needs resource=... and name=..."),
        ("corrupt:resource=pods,name=a,how=x", "how='x' is not one of labels, metadata"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_what_could(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="fault") as info:
        FaultSpec.parse(text)
    assert said in str(info.value)


def test_every_fault_has_a_line_in_the_help() -> None:
    lines = described().splitlines()
    for name, line in zip(FAULTS, lines, strict=False):
        assert line.startswith(name)
    assert "status=503" in described()


def test_every_method_of_faults_can_be_had_from_the_command_line() -> None:
    source = "".join(inspect.getsource(do) for do, _ in FAULTS.values())
    methods = {name for name, _ in inspect.getmembers(Faults, inspect.isfunction) if not name.startswith("_")}
    for name in methods - {"clear", "intercept", "disguised"}:
        assert f"faults.{name}(" in source, f"{name} has no name in FAULTS"


async def test_each_fault_can_happen_to_a_running_server() -> None:
    needed = {"corrupt": ":resource=configmaps,name=a", "down": ":seconds=0"}
    async with ApiServer() as server:
        for name in FAULTS:
            await FaultSpec.parse(name + needed.get(name, "")).run(server.faults)
        server.faults.clear()
        async with aiohttp.ClientSession() as session, session.get(server.url + "/api/v1/configmaps") as response:
            assert response.status == 200


@pytest.mark.looptime
async def test_a_fault_can_begin_later_and_happen_again_and_again() -> None:
    server = ApiServer()
    happened: list[float] = []
    server.faults.lag = lambda writes: happened.append(asyncio.get_running_loop().time())  # type: ignore[method-assign]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(31):
            await FaultSpec.parse("lag:after=5,every=10").run(server.faults)
    assert happened == [pytest.approx(at, abs=0.01) for at in (5, 15, 25)]


@pytest.mark.looptime
async def test_a_fault_can_happen_at_random_moments() -> None:
    server = ApiServer()
    happened: list[float] = []
    server.faults.lag = lambda writes: happened.append(asyncio.get_running_loop().time())  # type: ignore[method-assign]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10_000):
            await FaultSpec.parse("lag:about=10").run(server.faults)
    assert 800 < len(happened) < 1200
    gaps = {round(after - before, 3) for before, after in itertools.pairwise(happened)}
    assert len(gaps) > 0.9 * len(happened)
