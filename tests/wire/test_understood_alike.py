"""What proxies, gateways and old servers answer: a list and a watch make the same of it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import Client, ClusterConfig, SharedInformerFactory
from kinformer.backoff import Backoff
from kinformer.errors import (
    ForbiddenError,
    KinformerError,
    ProtocolError,
    StreamBrokenError,
    TooManyRequestsError,
    TransportTimeoutError,
    UnauthorizedError,
)
from kinformer.resources import PODS
from tests.wire.raw_server import CHUNKED, LIST, REFUSE_STREAM, RawServer, answer, chunk, event, is_watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

EVENT = event("ADDED", "a", 6)


def head(*lines: str, status: str = "HTTP/1.1 200 OK", kind: str = "Content-Type: application/json") -> bytes:
    return "\r\n".join([status, *([kind] if kind else []), *lines, "", ""]).encode("latin-1")


def chunks(body: bytes, size: int = 50) -> bytes:
    return b"".join(chunk(body[at : at + size]) for at in range(0, len(body), size)) + b"0\r\n\r\n"


TE = "Transfer-Encoding: chunked"


def deflated(body: bytes) -> bytes:
    raw = zlib.compressobj(wbits=-15)
    return raw.compress(body) + raw.flush()


# What is sent for a body, whether the connection is closed after it, and what a list and a watch make of it.
ANSWERS: dict[str, tuple[Callable[[bytes], bytes], bool, type[KinformerError] | None]] = {
    "HTTP/1.0": (lambda b: head(status="HTTP/1.0 200 OK") + b, True, None),
    "HTTP/1.0 with a length": (lambda b: head(f"Content-Length: {len(b)}", status="HTTP/1.0 200 OK") + b, True, None),
    "closed at the end": (lambda b: head("Connection: close") + b, True, None),
    "a length": (lambda b: head(f"Content-Length: {len(b)}") + b, False, None),
    "chunks of one byte": (lambda b: head(TE) + chunks(b, 1), False, None),
    "chunks with extensions": (lambda b: head(TE) + b'%X;ext="v"\r\n%s\r\n0;last\r\n\r\n' % (len(b), b), False, None),
    "trailers": (lambda b: head(TE) + b"%x\r\n%s\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(b), b), False, None),
    "leading zeros": (lambda b: head(TE) + b"0000%x\r\n%s\r\n0000\r\n\r\n" % (len(b), b), False, None),
    "headers in upper case": (
        lambda b: head("TRANSFER-ENCODING: Chunked", kind="CONTENT-TYPE: APPLICATION/JSON; charset=UTF-8") + chunks(b),
        False,
        None,
    ),
    "headers in lower case": (
        lambda b: head("transfer-encoding: chunked", kind="content-type:application/json") + chunks(b),
        False,
        None,
    ),
    "identity": (lambda b: head("Transfer-Encoding: identity", "Connection: close") + b, True, None),
    "no content type": (lambda b: head(TE, kind="") + chunks(b), False, None),
    "json with a parameter": (
        lambda b: head(TE, kind="Content-Type: application/json;stream=watch") + chunks(b),
        False,
        None,
    ),
    "early hints": (lambda b: b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + head(TE) + chunks(b), False, None),
    "no reason": (lambda b: head(TE, status="HTTP/1.1 200") + chunks(b), False, None),
    "many cookies": (lambda b: head(TE, *[f"Set-Cookie: c{n}=x" for n in range(50)]) + chunks(b), False, None),
    "a header beyond ASCII": (lambda b: head(TE, "X-User: Zo\xc3\xab") + chunks(b), False, None),
    "a header of 20 KB": (lambda b: head(TE, "X-Long: " + "x" * 20_000) + chunks(b), False, None),
    "an empty header": (lambda b: head(TE, "X-Empty:") + chunks(b), False, None),
    "status 203": (lambda b: head(TE, status="HTTP/1.1 203 Non-Authoritative") + chunks(b), False, None),
    "gzip": (lambda b: head(TE, "Content-Encoding: gzip") + chunks(gzip.compress(b)), False, None),
    "gzip by its old name": (lambda b: head(TE, "content-encoding: X-GZIP") + chunks(gzip.compress(b)), False, None),
    "gzip of several members": (
        lambda b: head(TE, "Content-Encoding: gzip") + chunks(gzip.compress(b[:20]) + gzip.compress(b[20:]), 7),
        False,
        None,
    ),
    "deflate": (lambda b: head(TE, "Content-Encoding: deflate") + chunks(zlib.compress(b)), False, None),
    "bare deflate": (lambda b: head(TE, "Content-Encoding: deflate") + chunks(deflated(b)), False, None),
    "coding identity": (lambda b: head(TE, "Content-Encoding: identity") + chunks(b), False, None),
    "brotli": (lambda b: head(TE, "Content-Encoding: br") + chunks(b), False, ProtocolError),
    "zstd": (lambda b: head(TE, "Content-Encoding: zstd") + chunks(b), False, ProtocolError),
    "two codings": (
        lambda b: head(TE, "Content-Encoding: gzip, gzip") + chunks(gzip.compress(gzip.compress(b))),
        False,
        ProtocolError,
    ),
    "gzip that is none": (lambda b: head(TE, "Content-Encoding: gzip") + chunks(b), False, ProtocolError),
    "gzip that breaks off": (
        lambda b: head(TE, "Content-Encoding: gzip") + chunks(gzip.compress(b)[:-9]),
        False,
        StreamBrokenError,
    ),
    "a length and chunks": (lambda b: head("Content-Length: 3", TE) + chunks(b), False, ProtocolError),
    "two lengths": (lambda b: head(f"Content-Length: {len(b)}", f"Content-Length: {len(b)}") + b, False, ProtocolError),
    "a length of 5,000 digits": (lambda b: head("Content-Length: " + "9" * 5000) + b, False, ProtocolError),
    "a negative length": (lambda b: head("Content-Length: -1") + b, False, ProtocolError),
    "gzip as a transfer coding": (
        lambda b: head("Transfer-Encoding: gzip, chunked") + chunks(gzip.compress(b)),
        False,
        ProtocolError,
    ),
    "a space before the colon": (lambda b: head(TE, "X-Odd : 1") + chunks(b), False, ProtocolError),
    "a null in a header": (lambda b: head(TE, "X-Null: \x00") + chunks(b), False, ProtocolError),
    "another protocol": (lambda b: head(TE, status="HTTP/1.2 200 OK") + chunks(b), False, ProtocolError),
    "no HTTP": (lambda b: b"SSH-2.0-OpenSSH_9.6\r\n\r\n" + b, False, ProtocolError),
    "a chunk of size 0x10": (lambda b: head(TE) + b"0x%x\r\n%s\r\n0\r\n\r\n" % (len(b), b), False, ProtocolError),
    "a chunk of size +10": (lambda b: head(TE) + b"+%x\r\n%s\r\n0\r\n\r\n" % (len(b), b), False, ProtocolError),
    "a chunk that is longer": (lambda b: head(TE) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(b) - 1, b), False, ProtocolError),
    "text": (lambda b: head(TE, kind="Content-Type: text/plain") + chunks(b), False, ProtocolError),
    "HTML": (lambda b: answer(b"<html>Log in</html>").replace(b"application/json", b"text/html"), False, ProtocolError),
    "a redirection": (lambda b: answer(b"", "302 Found", "Location: http://login.test/?secret"), False, ProtocolError),
    "a redirection to no address": (lambda b: answer(b"", "302 Found", "Location: http://["), False, ProtocolError),
    "another protocol's switch": (
        lambda b: b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        False,
        ProtocolError,
    ),
    "no last chunk": (lambda b: head(TE) + chunks(b)[:-5], True, StreamBrokenError),
    "less than the length": (lambda b: head(f"Content-Length: {len(b) + 5}") + b, True, StreamBrokenError),
}


@contextlib.asynccontextmanager
async def connected(respond: Any, **options: Any) -> AsyncIterator[tuple[RawServer, Client]]:
    """A server that answers so, and a client of it; for ten seconds."""
    async with asyncio.timeout(60), RawServer(respond) as server:
        config = ClusterConfig.for_server(server.url, trust_env=False, **options.pop("config", {}))
        async with Client(config, **options) as client:
            yield server, client


async def made_of(name: str, *, watch: bool) -> tuple[list[str], type[BaseException] | None, str]:
    """The names that came, and the error."""
    make, closes, _ = ANSWERS[name]

    def respond(sent: bytes, writer: asyncio.StreamWriter) -> bytes | None:
        data = make(EVENT if watch else LIST)
        if not closes:
            return data
        writer.write(data)
        return None

    names: list[str] = []
    async with (
        asyncio.timeout(60),
        RawServer(respond) as server,
        Client(ClusterConfig.for_server(server.url, trust_env=False), timeout=3, retry=None) as client,
    ):
        source = client.list_watch(PODS)
        try:
            if watch:
                async with source.watch(resource_version="5", timeout_seconds=1) as batches:
                    async for batch in batches:
                        assert not batch.failures
                        names += [event.object.name for event in batch.events]
            else:
                async for page in source.list():
                    names += [item.name for item in page.items]
        except KinformerError as error:
            return names, type(error), str(error)
    return names, None, ""


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_list_and_a_watch_make_the_same_of_an_answer(name: str) -> None:
    expected = ANSWERS[name][2]
    listed, watched = await made_of(name, watch=False), await made_of(name, watch=True)
    assert (listed[1], watched[1]) == (expected, expected), (listed, watched)
    if expected is None:
        assert listed[0] == watched[0] == ["a"]
    assert "secret" not in listed[2] + watched[2]


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "x" * 500])
async def test_a_coding_that_cannot_be_read_is_named(coding: str) -> None:
    sent = head(TE, f"Content-Encoding: {coding}") + chunks(EVENT)
    async with connected(lambda head, writer: sent) as (_server, client):
        for asking in (_listed(client), _watched(client)):
            with pytest.raises(ProtocolError, match="only gzip and deflate can be read") as caught:
                await asking
            assert coding[:40] in str(caught.value)
            assert len(str(caught.value)) < 300


async def _listed(client: Client) -> None:
    await client.list(PODS)


async def _watched(client: Client) -> None:
    async with client.list_watch(PODS).watch(resource_version="5", timeout_seconds=1) as batches:
        async for _ in batches:
            pass


async def _streamed(client: Client) -> None:
    source = client.list_watch(PODS)
    async with source.watch(resource_version="", timeout_seconds=1, send_initial_events=True) as batches:
        async for _ in batches:
            pass


ALL = (_listed, _watched, _streamed)


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
@pytest.mark.parametrize("ask", ALL)
async def test_retry_after_is_understood_whatever_asks_and_however_it_is_spelled(ask: Any, name: str) -> None:
    busy = answer(b"Too many requests, please try again later.\n", "429 Too Many Requests", f"{name}: 7")
    async with connected(lambda head, writer: busy, retry=None) as (_server, client):
        with pytest.raises(TooManyRequestsError) as caught:
            await ask(client)
        assert caught.value.retry_after == 7


@pytest.mark.parametrize("ask", ALL)
async def test_a_refusal_that_comes_compressed_is_read(ask: Any) -> None:
    status = gzip.compress(b'{"kind":"Status","code":403,"reason":"Forbidden","message":"no pods for you"}')
    refused = answer(status, "403 Forbidden", "Content-Encoding: gzip")
    async with connected(lambda head, writer: refused) as (_server, client):
        with pytest.raises(ForbiddenError, match="no pods for you"):
            await ask(client)


@pytest.mark.parametrize("ask", ALL)
async def test_a_401_renews_the_credentials_once_whatever_asks(ask: Any, tmp_path: Any) -> None:
    token = tmp_path / "token"
    token.write_text("one")

    def respond(head: bytes, writer: asyncio.StreamWriter) -> bytes:
        token.write_text("two-two" if token.read_text() == "one" else token.read_text())
        return answer(b"{}", "401 Unauthorized")

    async with connected(respond, config={"token_file": token}) as (server, client):
        with pytest.raises(UnauthorizedError):
            await ask(client)
        sent = [line for head in server.heads for line in head.split(b"\r\n") if line.startswith(b"Authorization")]
        assert sent == [b"Authorization: Bearer one", b"Authorization: Bearer two-two"]


class Gateway:
    """Sends the head of a watch with its first event only, which comes when `change` is set."""

    def __init__(self) -> None:
        self.change = asyncio.Event()
        self.first = b""
        self.status = CHUNKED

    async def respond(self, sent: bytes, writer: asyncio.StreamWriter) -> bytes | None:
        if b"sendInitialEvents" in sent:
            return answer(REFUSE_STREAM, "422 Unprocessable")
        if not is_watch(sent):
            return answer()
        await self.change.wait()
        writer.write(self.status + self.first)
        await writer.drain()
        await asyncio.sleep(30)
        return None


async def test_an_informer_is_live_while_the_head_of_its_watch_waits_for_the_first_event() -> None:
    gateway = Gateway()
    gateway.first = chunk(event("ADDED", "late", 11))
    async with connected(gateway.respond) as (_server, client):
        factory = SharedInformerFactory(client)
        pods = factory.core.v1.pods
        async with factory:
            await factory.wait_for_cache_sync()
            while pods.status.state != "watching":
                await asyncio.sleep(0.01)
            assert pods.status.failures == 0
            gateway.change.set()
            while len(pods.lister) < 2:
                await asyncio.sleep(0.01)
            assert pods.status.watches == 1
            assert "StreamBrokenError" not in pods.status.errors
            assert "TransportTimeoutError" not in pods.status.errors


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        ("403 Forbidden", b'{"kind":"Status","code":403,"message":"no"}', ForbiddenError),
        ("401 Unauthorized", b"{}", UnauthorizedError),
        ("302 Found", b"", ProtocolError),
    ],
)
async def test_a_refusal_that_comes_late_is_raised_by_reading(status: str, body: bytes, expected: Any) -> None:
    gateway = Gateway()
    gateway.status = answer(body, status)
    async with (
        connected(gateway.respond) as (_, client),
        client.list_watch(PODS).watch(resource_version="5", timeout_seconds=60) as batches,
    ):
        gateway.change.set()
        with pytest.raises(expected):
            await anext(batches)
        assert sum(client.status.requests.values()) == 1


async def test_a_late_answer_that_is_no_json_is_refused_by_reading() -> None:
    gateway = Gateway()
    gateway.status = CHUNKED.replace(b"application/json", b"text/html")
    async with (
        connected(gateway.respond) as (_, client),
        client.list_watch(PODS).watch(resource_version="5", timeout_seconds=60) as batches,
    ):
        gateway.change.set()
        with pytest.raises(ProtocolError, match="text/html"):
            await anext(batches)


async def test_a_head_that_never_comes_is_given_up_after_the_time_limit() -> None:
    gateway = Gateway()
    async with (
        connected(gateway.respond, timeout=1) as (_, client),
        client.list_watch(PODS).watch(resource_version="5", timeout_seconds=60) as batches,
    ):
        with pytest.raises(TransportTimeoutError, match="1 seconds"):
            await anext(batches)


async def test_what_comes_before_a_pause_in_a_compressed_watch_is_handed_on_before_it() -> None:
    events = [event("ADDED", f"p{n}", n) for n in range(5)]

    async def respond(sent: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED.replace(b"Transfer", b"Content-Encoding: gzip\r\nTransfer"))
        press = zlib.compressobj(wbits=31)
        for line in events:
            writer.write(chunk(press.compress(line) + press.flush(zlib.Z_SYNC_FLUSH)))
            await asyncio.sleep(0.01)
        await asyncio.sleep(30)

    async with (
        connected(respond) as (_, client),
        client.list_watch(PODS).watch(resource_version="5", timeout_seconds=60) as batches,
    ):
        names: list[str] = []
        async for batch in batches:
            names += [item.object.name for item in batch.events]
            if len(names) == 5:
                break
    assert names == [json.loads(line)["object"]["metadata"]["name"] for line in events]


async def test_a_malformed_chunk_after_many_small_ones_is_an_error_and_no_wait_for_ever() -> None:
    # aiohttp 3.14 never wakes the reader of such a body; its own time limits are off by then.
    sent = head(TE) + chunk(b"x" * 50) * 4_000 + b"zz\r\n"

    def respond(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)

    async with connected(respond, timeout=1) as (_, client):
        with pytest.raises(KinformerError):
            await client.list(PODS)
        with pytest.raises(KinformerError):
            await client.delete_collection(PODS, namespace="d")


async def test_an_informer_lists_when_the_head_of_its_watch_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    # A server that hangs: it takes the request, and answers nothing.
    monkeypatch.setattr("kinformer.client._http.exchange.HEAD_WITHIN", 0.7)
    monkeypatch.setattr("kinformer.reflector._state_machine.BLIND_SECONDS", 0.5)
    gateway = Gateway()
    async with connected(gateway.respond) as (_, client):
        factory = SharedInformerFactory(client, streaming_lists=False, backoff=Backoff(initial=0.01))
        pods = factory.core.v1.pods
        async with factory:
            while pods.status.lists.get("failed watches", 0) < 2:
                await asyncio.sleep(0.01)
            assert pods.status.errors["TransportTimeoutError"] >= 2


@pytest.mark.parametrize("how", ["byte by byte", "then silence"])
async def test_an_event_that_does_not_end_is_given_up_and_silence_after_a_whole_one_is_not(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kinformer.client._watch_stream.EVENT_WITHIN", 0.4)

    async def respond(sent: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        # An event in two pieces, and then a silence that is longer than the limit.
        writer.write(chunk(EVENT[:50]))
        await asyncio.sleep(0.02)
        writer.write(chunk(EVENT[50:]))
        await asyncio.sleep(0.8)
        writer.write(chunk(EVENT))
        writer.write(chunk(EVENT[:20]))
        for byte in EVENT[20:-2] * 20:
            if how == "byte by byte":
                writer.write(chunk(bytes([byte])))
            await asyncio.sleep(0.05)

    names: list[str] = []

    def take(batch: Any, _: bool = False) -> None:
        names.extend(e.object.name for e in batch.events)

    async with connected(respond) as (_, client):
        for pushed in (False, True):
            names.clear()
            watch = client.list_watch(PODS).watch(resource_version="5", timeout_seconds=60)
            async with watch as batches:
                with pytest.raises(ProtocolError, match="an event of a watch has not ended"):
                    if pushed:
                        deliver: Any = batches
                        await deliver.deliver(take)
                    async for batch in batches:
                        take(batch)
            assert names == ["a", "a"]


async def test_a_watch_that_sends_only_empty_lines_is_given_up_like_a_silent_one() -> None:
    async def respond(sent: bytes, writer: asyncio.StreamWriter) -> None:
        # The event comes with the head, however slow the machine is.
        writer.write(CHUNKED + chunk(EVENT))
        for _ in range(200):
            writer.write(chunk(b"\n"))
            await asyncio.sleep(0.05)

    names: list[str] = []

    def take(batch: Any, _: bool = False) -> None:
        names.extend(e.object.name for e in batch.events)

    async with connected(respond) as (_, client):
        watching = client.list_watch(PODS)
        for pushed in (False, True):
            names.clear()
            silence = 0.5
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr("kinformer.client._list_watch.SILENCE_MARGIN", silence - 1)
                with pytest.raises((ProtocolError, TransportTimeoutError), match="nothing"):
                    async with watching.watch(resource_version="5", timeout_seconds=1) as batches:
                        if pushed:
                            deliver: Any = batches
                            await deliver.deliver(take)
                        else:
                            async for batch in batches:
                                take(batch)
            assert names == ["a"]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 199 x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
    ],
)
async def test_a_list_whose_answer_does_not_go_on_is_given_up_after_the_time_limit(sent: bytes) -> None:
    async def respond(head: bytes, writer: asyncio.StreamWriter) -> bytes:
        writer.write(sent)
        await asyncio.sleep(5)
        return b""

    async with connected(respond, timeout=0.1) as (_, client):
        with pytest.raises(TransportTimeoutError, match=r"sent nothing for 0\.1 seconds"):
            await client.list(PODS)
