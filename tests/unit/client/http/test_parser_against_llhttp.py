"""Our response parser beside llhttp (by httptools), over responses that are whole, cut and damaged at random.

5,000 responses here; `make soak` takes 100,000 (KINFORMER_HTTP_CASES). Each has a seed of its own, which the failure
names.
"""

from __future__ import annotations

import os
import random
from typing import NamedTuple

import httptools

from kinformer.client._http.response_parser import HttpFormatError, ResponseParser
from tests.seeds import FIRST_SEED

CASES = int(os.environ.get("KINFORMER_HTTP_CASES", "5000"))

STATUS_LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 200",
    b"HTTP/1.0 200 ",
    b"HTTP/1.1 404 Not Found",
    b"HTTP/1.1 503 caf\xc3\xa9",
]
HEADERS = [
    b"Content-Type: application/json",
    b"content-type:application/json;stream=watch",
    b"X-Empty:",
    b"X-Spaces:   a  b  ",
    b"Cache-Control: no-cache, private",
    b"Date: Thu, 26 Nov 2026 10:00:00 GMT",
    b"X-Utf8: \xc3\xa9",
    b"Audit-Id: 4b1d",
]
EXTENSIONS = [b"", b"", b"", b";a", b";a=b", b';a="b c"', b";a;b=c", b'; a="\\""', b";", b" "]
TRAILERS = [b"", b"", b"X-Sum: 1\r\n", b"X-Sum: 1\r\nX-More:\r\n", b"Content-Length: 3\r\n"]
INTERIM = [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"]
ODD_LINES = [
    b"Content-Length: 3",
    b"Content-Length: +3",
    b"Content-Length: 3, 3",
    b"Content-Length: " + b"9" * 30,
    b"Content-Length: 0x3",
    b"Content-Length:",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding:\tchunked\t",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: \x0bchunked",
    b"X-Odd : 1",
    b" folded",
    b"\tfolded",
    b"X-Null: \x00",
    b"X-Cr: a\rb",
    b"X-Lf: a\nb",
    b"X-Del: \x7f",
    b": no name",
    b"no colon",
    b"X(y): 1",
]
SIZES = [
    b"+5",
    b"-1",
    b"0x5",
    b"5_0",
    b" 5",
    b"5 ",
    b"5\t",
    b"",
    b"g",
    b"f" * 17,
    b"5\r",
    b"5;\x00",
    b"5;a=\n",
    b"00000005",
    b"5;;a",
]
BYTES = [b"\r", b"\n", b"\r\n", b"\x00", b"\x7f", b" ", b"\t", b":", b";", b"0", b"\xff", b"_", b"+"]


class Seen(NamedTuple):
    """One parser's view of a response."""

    refused: bool
    complete: bool
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Listener:
    """Collects llhttp's callbacks for the first response that is not informational."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.complete = False
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = b""

    def on_message_begin(self) -> None:
        if not self.complete:
            self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.complete:
            self.headers.append((name.decode("latin-1"), value.decode("latin-1").rstrip(" ")))

    def on_headers_complete(self) -> None:
        if not self.complete:
            self.status = self.parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if not self.complete:
            self.body += body

    def on_message_complete(self) -> None:
        if self.status >= 200:
            self.complete = True


def response(rng: random.Random) -> tuple[bytes, bool]:
    """A response, and whether nothing was done to it that a parser may refuse."""
    sound = True
    body = rng.randbytes(rng.choice([0, 1, 5, 40, 300])).replace(b"\r", b"x") if rng.random() < 0.5 else b"{}\r\n" * 9
    lines = [rng.choice(STATUS_LINES), *rng.sample(HEADERS, rng.randrange(len(HEADERS)))]
    tail = b""
    match rng.randrange(4):
        case 0:
            lines.insert(rng.randrange(1, len(lines) + 1), b"Content-Length: %d" % len(body))
            tail = body
        case 1:
            tail = body
        case _:
            coding = rng.choice([b"Transfer-Encoding: chunked", b"transfer-encoding:Chunked"])
            if rng.random() < 0.1:
                coding, sound = rng.choice([line for line in ODD_LINES if line.startswith(b"Transfer")]), False
            lines.insert(rng.randrange(1, len(lines) + 1), coding)
            while body:
                size = rng.randint(1, len(body))
                extension = rng.choice(EXTENSIONS)
                sound = sound and extension not in {b";", b" ", b'; a="\\""'}
                number = (b"%x" if rng.random() < 0.5 else b"%X") % size
                if rng.random() < 0.02:
                    number, sound = rng.choice(SIZES), False
                end = b"\r\n"
                if rng.random() < 0.02:
                    end, sound = rng.choice([b"x\n", b"\n", b"\r", b"\rx", b""]), False
                tail += number + extension + b"\r\n" + body[:size] + end
                body = body[size:]
            trailer = rng.choice(TRAILERS)
            sound = sound and not trailer.startswith(b"Content-Length")
            tail += b"0" + b"\r\n" + trailer + b"\r\n"
    if rng.random() < 0.25:
        lines.insert(rng.randrange(1, len(lines) + 1), rng.choice(ODD_LINES))
        sound = False
    data = b"\r\n".join(lines) + b"\r\n\r\n" + tail
    if rng.random() < 0.1:
        data = rng.choice(INTERIM) + data
    while rng.random() < 0.3:
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.choice([b"", *BYTES]) + data[at + rng.randrange(3) :]
        sound = False
    if rng.random() < 0.1:
        data = data[: rng.randrange(len(data) + 1)]
        sound = False
    return data, sound


def cuts(data: bytes, rng: random.Random) -> list[bytes]:
    places = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice([0, 0, 1, 3, 20])))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True) if start < end]


def ours(pieces: list[bytes]) -> Seen:
    parser, body, refused = ResponseParser(), b"", False
    try:
        for piece in pieces:
            body += parser.feed(piece).join()
    except HttpFormatError:
        refused = True
    whole = not refused and parser.close()
    return Seen(refused, whole, parser.status, [*parser.headers.items()], body)


def llhttps(pieces: list[bytes]) -> Seen:
    listener = Listener()
    refused = False
    try:
        for piece in pieces:
            listener.parser.feed_data(piece)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        refused = not listener.complete
    lengths = {name.lower() for name, _ in listener.headers} & {"content-length", "transfer-encoding"}
    coded = {value.lower() for name, value in listener.headers if name.lower() == "transfer-encoding"}
    until_closed = listener.status >= 200 and (not lengths or (bool(coded) and "chunked" not in coded))
    whole = listener.complete or (until_closed and not refused)
    return Seen(refused, whole, listener.status, listener.headers, listener.body)


def test_what_we_take_for_a_whole_response_is_the_same_one_to_llhttp_and_no_sound_one_is_refused() -> None:
    outcomes = {"both whole": 0, "we refuse": 0, "unfinished": 0}
    for seed in range(FIRST_SEED, FIRST_SEED + CASES):
        rng = random.Random(seed)
        data, sound = response(rng)
        pieces = cuts(data, rng)
        we, they = ours(pieces), llhttps(pieces)
        said = f"seed {seed}: {data!r}: {we} {they}"
        if we.complete:
            assert they.complete, said
            assert (we.status, we.body) == (they.status, they.body), said
            assert we.headers == they.headers[: len(we.headers)], said  # llhttp adds the trailers
        else:
            assert they.body.startswith(we.body), said
        if sound:
            assert they.complete, said
            assert we.complete, said
        outcomes["both whole" if we.complete else "we refuse" if we.refused else "unfinished"] += 1
    # Each kind of outcome is met often, so that none of these assertions is empty.
    assert min(outcomes.values()) > CASES // 100, outcomes
