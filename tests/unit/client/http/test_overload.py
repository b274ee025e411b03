"""Manners under overload, on virtual time: what is repeated, what is held back, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from kinformer.backoff import RetryPolicy
from kinformer.client._http.responses import Response
from kinformer.client._http.transport import Transport
from kinformer.config import ClusterConfig
from kinformer.controller import Controller
from kinformer.errors import (
    ApiError,
    ConnectError,
    NotFoundError,
    ServerError,
    ServiceUnavailableError,
    TooManyRequestsError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.looptime

DEFAULT = RetryPolicy()


class Said(Response):
    """A response that is there as a whole."""

    def __init__(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        super().__init__()
        self._status = status
        self._body = [body] if body else []
        self._headers = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})

    @property
    def status(self) -> int:
        return self._status

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        return CIMultiDictProxy(self._headers)

    async def _read_some(self) -> bytes:
        return self._body.pop() if self._body else b""

    def fail(self, error: Exception) -> None:
        raise error

    async def close(self) -> None:
        return


class Server:
    """In the place of the session: `answer` makes a response or an error of each request, at its time."""

    def __init__(self, answer: Callable[[float, str], Response | Exception]) -> None:
        self.answer = answer
        self.sent: list[tuple[float, str]] = []
        self.closed = False

    def check_open(self) -> None:
        """It is open."""

    async def send(self, method: str, *rest: Any, **more: Any) -> Response:
        now = asyncio.get_running_loop().time()
        self.sent.append((round(now, 3), method))
        answer = self.answer(now, method)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def release(self, response: Response) -> None:
        await response.close()

    @property
    def times(self) -> list[float]:
        return [when for when, _ in self.sent]


def transport(server: Server, retry: RetryPolicy | None = DEFAULT, metrics: Any = None) -> Transport:
    made = Transport(
        ClusterConfig.for_server("http://127.0.0.1:1"), timeout=30, connect_timeout=10, retry=retry, metrics=metrics
    )
    made._exchange._session = server  # type: ignore[assignment]
    return made


def busy(until: float, seconds: int = 5, status: int = 429) -> Callable[[float, str], Response]:
    return lambda now, method: Said(200) if now >= until else Said(status, Retry_After=str(seconds))


async def ask(client: Transport, method: str = "PATCH", **more: Any) -> Any:
    return await client.request(method, "/api/v1/pods/a", doing="patch a pod", **more)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_refusal_with_retry_after_is_repeated_after_that_time_whatever_the_verb(
    status: int, method: str
) -> None:
    server = Server(busy(12, status=status))
    assert (await ask(transport(server), method)).status == 200
    assert server.times == [0, 5, 10, 15]


@pytest.mark.parametrize(
    "answer", [Said(500), Said(503), Said(429), Said(404, Retry_After="1"), Said(409, Retry_After="1")]
)
async def test_other_refusals_are_not_repeated(answer: Response) -> None:
    server = Server(lambda now, method: answer)
    with pytest.raises(ApiError):
        await ask(transport(server))
    assert server.times == [0]


async def test_seconds_in_the_status_count_as_retry_after() -> None:
    body = json.dumps(
        {"kind": "Status", "code": 504, "reason": "Timeout", "details": {"retryAfterSeconds": 2}}
    ).encode()
    server = Server(lambda now, method: Said(504, body) if now < 1 else Said(200))
    assert (await ask(transport(server))).status == 200
    assert server.times == [0, 2]


async def test_nothing_is_repeated_beyond_the_time_limit_of_the_caller() -> None:
    server = Server(busy(1_000))
    with pytest.raises(TooManyRequestsError) as caught:
        await ask(transport(server))
    assert caught.value.retry_after == 5
    assert server.times == [0, 5, 10, 15, 20, 25]
    assert asyncio.get_running_loop().time() == 25


async def test_nothing_is_repeated_more_often_than_the_policy_says() -> None:
    server = Server(busy(1_000, seconds=1))
    with pytest.raises(TooManyRequestsError):
        await ask(transport(server))
    assert len(server.sent) == 11
    server = Server(busy(1_000, seconds=1))
    with pytest.raises(TooManyRequestsError):
        await ask(transport(server, RetryPolicy(attempts=2)))
    assert len(server.sent) == 3


async def test_without_a_policy_nothing_is_repeated() -> None:
    server = Server(busy(1_000))
    with pytest.raises(TooManyRequestsError):
        await ask(transport(server, retry=None))
    assert server.times == [0]


@pytest.mark.parametrize(
    "error", [aiohttp.ServerDisconnectedError(), aiohttp.ClientOSError(104, "reset"), ConnectionResetError()]
)
async def test_a_read_whose_connection_was_lost_is_repeated_and_a_write_is_not(error: Exception) -> None:
    server = Server(lambda now, method: error if now < 2.5 else Said(200))
    assert (await ask(transport(server), "GET")).status == 200
    assert server.times == [0, 1, 2, 3]
    writing = Server(lambda now, method: error)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        with pytest.raises(ConnectError):
            await ask(transport(writing), method)
    assert len(writing.sent) == 4


async def test_a_server_that_is_not_there_is_not_asked_again() -> None:
    refused = aiohttp.ClientConnectorError(None, ConnectionRefusedError(111, "refused"))  # type: ignore[arg-type]
    server = Server(lambda now, method: refused)
    with pytest.raises(ConnectError):
        await ask(transport(server), "GET")
    assert server.times == [0]


async def test_one_429_holds_back_all_requests_of_its_kind_and_no_others() -> None:
    server = Server(lambda now, method: Said(429, Retry_After="5") if method == "PATCH" and now < 4 else Said(200))
    client = transport(server)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ask(client))
        await asyncio.sleep(1)
        for _ in range(50):
            tasks.create_task(ask(client, "PUT"))
        tasks.create_task(ask(client, "GET"))
        await asyncio.sleep(1)
        assert client.status.held == {"write": 3}
    assert server.sent.count((1, "GET")) == 1
    # They leave in groups of 1, 2, 4, ...; the refused request is one of those that wait.
    left = [when for when, method in server.sent if method == "PUT"]
    assert (len(left), min(left), max(left)) == (50, 5.05, 5.25)
    assert client.status.waits == 51
    assert client.status.held == {}


async def test_what_cannot_be_sent_before_its_time_limit_fails_at_once_and_says_how_long_to_wait() -> None:
    server = Server(busy(1_000, seconds=60))
    client = transport(server)
    with pytest.raises(TooManyRequestsError):
        await ask(client)
    await asyncio.sleep(10)
    with pytest.raises(TooManyRequestsError, match="not sent") as caught:
        await ask(client)
    assert caught.value.retry_after == 50
    assert server.times == [0]


async def test_an_eviction_that_is_refused_holds_nothing_else_back() -> None:
    server = Server(lambda now, method: Said(429, Retry_After="10") if method == "POST" and now < 1 else Said(200))
    client = transport(server)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ask(client, "POST", subresource=True))
        await asyncio.sleep(0.5)
        tasks.create_task(ask(client, "PATCH"))
    assert server.sent == [(0, "POST"), (0.5, "PATCH"), (10, "POST")]


async def test_a_503_holds_back_nobody_but_the_one_who_was_refused() -> None:
    server = Server(lambda now, method: Said(503, Retry_After="5") if now == 0 else Said(200))
    client = transport(server, retry=None)
    with pytest.raises(ServiceUnavailableError):
        await ask(client)
    await asyncio.sleep(1)
    assert (await ask(client)).status == 200


async def test_a_thousand_callers_cause_few_refusals() -> None:
    server = Server(busy(60))
    client = transport(server)

    async def key() -> None:
        while asyncio.get_running_loop().time() < 60:
            try:
                await ask(client)
                return
            except TooManyRequestsError as error:
                await asyncio.sleep(error.retry_after or 0)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(1_000):
            tasks.create_task(key())
    # One request in five seconds finds out for all of them.
    refused = [time for time in server.times if time < 60]
    assert len(refused) == 12
    gaps = sorted(set(refused))
    assert min(later - earlier for earlier, later in itertools.pairwise(gaps)) >= 5 - 0.001
    assert max(server.times) <= 61, "a thousand requests leave the gate within a second when the server is well"


class Sink:
    def __init__(self, *, fails: bool = False) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.fails = fails

    def requested(self, method: str, host: str, code: str, seconds: float) -> None:
        self.calls.append(("requested", method, code))
        self._fail()

    def retried(self, method: str, host: str, code: str) -> None:
        self.calls.append(("retried", method, code))
        self._fail()

    def _fail(self) -> None:
        if self.fails:
            raise RuntimeError("the backend is down")


async def test_repetitions_are_counted_in_the_metrics_and_in_the_status() -> None:
    sink = Sink()
    client = transport(Server(busy(7)), metrics=sink)
    await ask(client)
    assert sink.calls == [
        ("requested", "PATCH", "429"),
        ("retried", "PATCH", "429"),
        ("requested", "PATCH", "429"),
        ("retried", "PATCH", "429"),
        ("requested", "PATCH", "200"),
    ]
    assert client.status.requests == {"429": 2, "200": 1}
    assert client.status.retries == {"429": 2}


async def test_a_sink_that_raises_breaks_no_request(caplog: pytest.LogCaptureFixture) -> None:
    client = transport(Server(busy(7)), metrics=Sink(fails=True))
    assert (await ask(client)).status == 200
    assert caplog.records


async def test_a_cancelled_caller_waits_no_longer_and_leaves_the_gate_to_others() -> None:
    server = Server(busy(4))
    client = transport(server)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await ask(client)
    assert (await ask(client)).status == 200
    assert server.times == [0, 5]


async def test_a_404_after_a_repetition_is_what_it_is() -> None:
    server = Server(lambda now, method: Said(503, Retry_After="1") if now < 1 else Said(404))
    with pytest.raises(NotFoundError):
        await ask(transport(server))


@pytest.mark.parametrize("arguments", [{"attempts": -1}, {"lost_read_delay": -0.1}])
def test_a_policy_out_of_range_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        RetryPolicy(**arguments)


async def test_a_server_error_without_a_wish_for_patience_is_raised_at_once() -> None:
    server = Server(lambda now, method: Said(500, b'{"kind":"Status","message":"etcd is gone"}'))
    with pytest.raises(ServerError, match="etcd is gone"):
        await ask(transport(server), "GET")
    assert server.times == [0]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_controller_asks_for_a_key_no_sooner_than_the_server_wishes_and_no_later_than_the_limiter(
    status: int,
) -> None:
    # The wait in the verb and the wait of the controller are one wait: neither is added to the other.
    server = Server(busy(60, seconds=5, status=status))
    client = transport(server)
    asked: dict[int, list[float]] = {}
    done: list[float] = []

    async def reconcile(key: int) -> None:
        await client.request("PATCH", f"/api/v1/pods/{key}", doing="patch a pod")
        done.append(asyncio.get_running_loop().time())

    original = server.send

    async def send(method: str, url: object, *rest: Any, **more: Any) -> Response:
        asked.setdefault(int(str(url).rpartition("/")[2]), []).append(asyncio.get_running_loop().time())
        return await original(method, url, *rest, **more)

    server.send = send  # type: ignore[method-assign]
    controller: Controller[int] = Controller("seen", reconcile, workers=20)
    for key in range(1_000):
        controller.queue.add(key)
    async with controller:
        await asyncio.sleep(60)
        assert sum(map(len, asked.values())) <= 1_000 * 60 / 5 + 1_000
        await asyncio.sleep(90)
    for times in asked.values():
        assert min((later - earlier for earlier, later in itertools.pairwise(times)), default=5.0) >= 5 - 0.001
    assert len(done) == 1_000


async def test_refusals_other_than_429_hold_back_the_others_once_a_request_was_given_up_and_none_succeeded() -> None:
    server = Server(busy(1_000, status=503))
    client = transport(server)

    async def worker() -> None:
        while True:
            with contextlib.suppress(ApiError):
                await ask(client)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60.5), asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(worker())
    # 20 workers of client-go, which repeat up to ten times every 5 s, send 260.
    assert 100 <= len(server.sent) <= 160


async def test_one_object_that_is_refused_with_503_holds_back_no_other() -> None:
    server = Server(lambda now, method: Said(503, Retry_After="5") if method == "PATCH" else Said(200))
    client = transport(server)

    async def others() -> None:
        for _ in range(60):
            await ask(client, "PUT")
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(others())
        with pytest.raises(ApiError):
            await ask(client)
        assert client.status.held == {}
    assert asyncio.get_running_loop().time() == 60
    assert client.status.waits == 0


async def test_the_first_success_ends_the_holding_back() -> None:
    server = Server(busy(31, status=503))
    client = transport(server)
    with pytest.raises(ApiError):
        await ask(client)
    assert client.status.held == {"write": 5.0}
    assert (await ask(client)).status == 200
    assert server.times == [0, 5, 10, 15, 20, 25, 30, 35]
    assert (await ask(client)).status == 200
    assert server.times[-1] == 35
