"""A connection as asyncio sees it: what was read into which buffer, and who may read into it again."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kinformer.client._http.raw_stream import RawStream
from kinformer.client._http.response_parser import HttpFormatError, Pieces


def arrive(stream: RawStream, data: bytes) -> None:
    """What asyncio does when the socket has something."""
    view = stream.get_buffer(-1)
    view[: len(data)] = data
    stream.buffer_updated(len(data))


async def rest_of(stream: RawStream) -> bytes:
    """The whole rest of the body."""
    parts: list[bytes] = []
    while await stream.read(lambda pieces: parts.append(pieces.join()), 60.0):
        pass
    return b"".join(parts)


def test_loops_in_several_threads_do_not_share_what_they_read_into() -> None:
    def buffer_of(_: object) -> memoryview:
        async def made() -> memoryview:
            return RawStream().get_buffer(-1)

        both.wait(timeout=10)
        return asyncio.run(made())

    both = threading.Barrier(2)
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(buffer_of, range(2))
    assert one.obj is not other.obj


async def test_what_came_on_one_stream_is_there_until_its_consumer_takes_it_whatever_comes_on_others() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    streams = [RawStream() for _ in range(3)]
    taken: list[list[bytes]] = [[] for _ in streams]
    for number, stream in enumerate(streams):
        arrive(stream, head + b"3\r\nhi%d\r\n" % number)
    for word in (b"one", b"two", b"three"):
        for number, stream in enumerate(streams):
            arrive(stream, b"%x\r\n%d%s\r\n" % (len(word) + 1, number, word))
        await streams[1].read(lambda pieces: taken[1].append(pieces.join()), 5.0)
    await streams[2].read(lambda pieces: taken[2].append(pieces.join()), 5.0)
    await streams[0].read(lambda pieces: taken[0].append(pieces.join()), 5.0)
    for number, parts in enumerate(taken):
        assert b"".join(parts) == b"hi%d%done%dtwo%dthree" % ((number,) * 4)


async def test_a_buffer_that_was_given_back_serves_one_stream_at_a_time() -> None:
    streams = [RawStream() for _ in range(2)]
    taken: list[bytes] = []
    for stream in streams:
        arrive(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for turn in range(3):
        for number, stream in enumerate(streams):
            arrive(stream, b"2\r\n%d%d\r\n" % (number, turn))
        for stream in streams:
            await stream.read(lambda pieces: taken.append(pieces.join()), 5.0)
    assert taken == [b"00", b"10", b"01", b"11", b"02", b"12"]


@pytest.mark.parametrize(("size", "most"), [(9_000, 1 << 20), (1_000, 600_000), (100, 64 * 1024)])
async def test_the_smaller_the_events_the_less_one_read_brings(size: int, most: int) -> None:
    stream = RawStream()
    arrive(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(2):
        arrive(stream, b"".join(b"%x\r\n%s\r\n" % (size, b"x" * size) for _ in range(5)))
        assert await stream.read(lambda pieces: None, 5.0)
    assert 64 * 1024 <= len(stream.get_buffer(-1)) <= most
    assert len(stream.get_buffer(-1)) * 2 >= min(most, 512 * size)


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def reading(stream: RawStream, pushed: list[bytes], wants_reader: bytes = b"-") -> asyncio.Task[bool]:
    """A reader that waits, with a consumer for what the loop pushes; it wants the reader after a certain piece."""

    def push(pieces: Pieces) -> bool:
        text = pieces.join()
        pushed.append(text)
        if text == b"bad":
            raise ValueError(text)
        return text == wants_reader

    task = asyncio.get_running_loop().create_task(
        stream.read(lambda pieces: pushed.append(b"task:" + pieces.join()), 30.0, push)
    )
    await asyncio.sleep(0)
    return task


async def test_a_few_bytes_go_to_the_consumer_at_once_while_the_reader_waits() -> None:
    stream = RawStream()
    arrive(stream, HEAD)
    pushed: list[bytes] = []
    task = await reading(stream, pushed, b"stop")
    arrive(stream, b"3\r\none\r\n3\r\nt")
    arrive(stream, b"wo\r\n")
    assert pushed == [b"onet", b"wo"]
    await asyncio.sleep(0.002)  # the turn of these steps is over
    assert not task.done()
    arrive(stream, b"4\r\nstop\r\n")
    arrive(stream, b"4\r\nwait\r\n")
    assert await task
    assert pushed == [b"onet", b"wo", b"stop"], "the rest is the reader's"
    task = await reading(stream, pushed)
    assert await task
    assert pushed[3:] == [b"task:wait"]


async def test_a_backlog_is_left_to_the_reader() -> None:
    stream = RawStream()
    arrive(stream, HEAD)
    pushed: list[bytes] = []
    task = await reading(stream, pushed)
    arrive(stream, b"9c40\r\n" + b"x" * 40_000 + b"\r\n")
    assert pushed == []
    assert await task
    assert pushed == [b"task:" + b"x" * 40_000]


async def test_the_reader_raises_the_exception_of_a_consumer_even_if_it_was_cancelled_before() -> None:
    for cancelled in (False, True):
        stream = RawStream()
        arrive(stream, HEAD)
        pushed: list[bytes] = []
        task = await reading(stream, pushed)
        arrive(stream, b"3\r\nbad\r\n")
        if cancelled:
            task.cancel()
            await asyncio.wait([task])
            task = await reading(stream, pushed)
        with pytest.raises(ValueError, match="bad"):
            await task
        assert pushed == [b"bad"]


@pytest.mark.parametrize("end", [b"0\r\n\r\n", b"!\r\n"])
async def test_the_end_of_the_body_and_what_is_no_http_wake_the_reader(end: bytes) -> None:
    stream = RawStream()
    arrive(stream, HEAD)
    pushed: list[bytes] = []
    task = await reading(stream, pushed)
    arrive(stream, b"3\r\none\r\n" + end)
    if end[:1] == b"0":
        assert not await task
        assert pushed == [b"one"]
    else:
        with pytest.raises(HttpFormatError):
            await task


@pytest.mark.looptime
async def test_silence_counts_from_the_last_byte_that_was_pushed() -> None:
    stream = RawStream()
    arrive(stream, HEAD)
    pushed: list[bytes] = []
    task = await reading(stream, pushed)
    clock = asyncio.get_running_loop().time
    for _ in range(10):
        await asyncio.sleep(20)
        arrive(stream, b"3\r\none\r\n")
    with pytest.raises(TimeoutError, match="30 seconds"):
        await task
    assert len(pushed) == 10
    assert clock() == pytest.approx(230, abs=0.01)


async def test_what_a_stream_had_brought_before_it_broke_is_read_before_the_error() -> None:
    stream = RawStream()
    arrive(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    arrive(stream, b"5\r\nwhole\r\n4\r\nha")
    stream.connection_lost(ConnectionResetError("reset"))
    taken: list[bytes] = []
    assert await stream.read(lambda pieces: taken.append(pieces.join()), 5.0)
    assert taken == [b"wholeha"]
    with pytest.raises(ConnectionResetError):
        await stream.read(lambda pieces: taken.append(pieces.join()), 5.0)


async def test_the_end_of_an_answer_that_came_with_the_end_of_its_connection_is_its_end() -> None:
    stream = RawStream()
    arrive(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    arrive(stream, b"5\r\nwhole\r\n0\r\n\r\n")
    stream.connection_lost(ConnectionResetError("reset"))
    assert await rest_of(stream) == b"whole"
    until_closed = RawStream()
    arrive(until_closed, b"HTTP/1.1 200 OK\r\n\r\nsome")
    arrive(until_closed, b" more")
    until_closed.eof_received()
    until_closed.connection_lost(None)
    assert await rest_of(until_closed) == b"some more"


@pytest.mark.looptime
async def test_a_wait_for_the_head_ends_without_one_in_time_and_the_next_wait_goes_on() -> None:
    stream = RawStream()
    clock = asyncio.get_running_loop().time
    await stream.head(0.5)
    assert stream.parser.status == 0
    assert clock() == pytest.approx(0.5)
    asyncio.get_running_loop().call_later(0.25, arrive, stream, HEAD)
    await stream.head(0.5)
    assert stream.parser.status == 200
    assert clock() == pytest.approx(0.75)


@pytest.mark.looptime
async def test_a_connection_that_is_lost_during_a_bounded_wait_for_the_head_is_an_error_at_once() -> None:
    stream = RawStream()
    asyncio.get_running_loop().call_later(0.25, stream.connection_lost, None)
    with pytest.raises(ConnectionResetError):
        await stream.head(0.5)
    assert asyncio.get_running_loop().time() == pytest.approx(0.25)
