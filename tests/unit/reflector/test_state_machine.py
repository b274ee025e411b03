"""The reflector's decisions as a table: what came of each step, and what is done next."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import pytest

from kinformer.backoff import Backoff
from kinformer.errors import (
    ApiError,
    ConnectError,
    KinformerError,
    MalformedStreamError,
    ProtocolError,
    StreamBrokenError,
    TLSError,
    TransportTimeoutError,
    api_error,
)
from kinformer.reflector._state_machine import ReflectorMachine, StreamingMemory
from kinformer.reflector._steps import ListStep, StreamStep, WaitStep, WatchStep

Outcome = Callable[[ReflectorMachine], object]

EXPIRED = api_error(410, {"reason": "Expired", "message": "too old resource version"})
TOO_LARGE = api_error(504, {"message": "Too large resource version", "reason": "Timeout"})
NOT_FOUND = api_error(404, {"reason": "NotFound"})
FORBIDDEN = api_error(403, {"reason": "Forbidden"})
BAD_REQUEST = api_error(400, {"reason": "BadRequest"})
INVALID = api_error(422, {"reason": "Invalid"})
UNAVAILABLE = api_error(503)
REFUSED = ConnectError("refused")
BROKEN = StreamBrokenError("broken")
MALFORMED = MalformedStreamError("no JSON")
SILENT = TransportTimeoutError("silent")
HTML = ProtocolError("HTML")
OLD_LIST = ProtocolError("older than what was seen")


def patience(seconds: float, status: int = 429) -> ApiError:
    return api_error(status, {"reason": "TooManyRequests"}, retry_after=seconds)


def listed(version: str, pages: int = 1) -> Outcome:
    return lambda machine: machine.listed(version, pages=pages)


def list_failed(error: KinformerError, pages: int = 0) -> Outcome:
    return lambda machine: machine.list_failed(error, pages=pages)


def list_refused() -> Outcome:
    return lambda machine: machine.list_refused(OLD_LIST)


def ended(lasted: float = 300, progress: str = "") -> Outcome:
    """The server closed the stream; before that, a bookmark may have brought the cache to a version."""

    def report(machine: ReflectorMachine) -> None:
        if progress:
            machine.progressed(progress, since_opening=lasted * 0.99, bookmark=True)
        machine.watch_ended(lasted=lasted)

    return report


def slow_refusal(seconds: float) -> Outcome:
    """The server took its time to refuse the watch."""
    return lambda machine: machine.watch_failed(api_error(500), lasted=0, opening=seconds)


def broken(lasted: float) -> Outcome:
    return watch_failed(BROKEN, lasted)


def watch_failed(error: KinformerError, lasted: float = 0.01, progress: str = "") -> Outcome:
    def report(machine: ReflectorMachine) -> None:
        if progress:
            machine.progressed(progress, since_opening=lasted * 0.99, bookmark=True)
        machine.watch_failed(error, lasted=lasted)

    return report


def steps_of(machine: ReflectorMachine) -> list[str]:
    """The next steps up to one that asks something of the server, as text."""
    texts: list[str] = []
    while True:
        match machine.next_step():
            case WaitStep(seconds, error):
                texts.append(f"wait {seconds:g}" + (f" {type(error).__name__}" if error else ""))
            case ListStep(version, limit, reason):
                return [*texts, f"list {version or 'quorum'} limit {limit}: {reason}"]
            case StreamStep(version, timeout, reason):
                assert 300 <= timeout <= 600
                return [*texts, f"stream {version or 'newest'}: {reason}"]
            case WatchStep(version, timeout):
                assert 300 <= timeout <= 600
                return [*texts, f"watch {version}"]


class Case(NamedTuple):
    situation: str
    outcomes: list[Outcome]
    steps: list[str]


START = "list 0 limit 500: initial"

TABLE = [
    Case("the start", [], [START]),
    Case("a list", [listed("7")], [START, "watch 7"]),
    Case("a stream the server ended after its time", [listed("7"), ended(progress="7")], [START, "watch 7", "watch 7"]),
    Case(
        "a stream in which nothing came, that the server ended after its time",
        [listed("7"), ended(600), listed("7")],
        [START, "watch 7", "list 7 limit 0: silent watches", "watch 7"],
    ),
    Case(
        "a stream that moved on, by events or a bookmark",
        [listed("7"), ended(progress="12")],
        [START, "watch 7", "watch 12"],
    ),
    Case(
        "a stream that said something older than the list",
        [listed("7"), ended(progress="6"), listed("7")],
        [START, "watch 7", "list 7 limit 0: silent watches", "watch 7"],
    ),
    Case(
        "streams that end at once, again and again",
        [listed("7"), *[ended(0.1)] * 3, listed("8"), ended(0.1), ended(0.1), listed("8"), ended(0.1), listed("8")],
        [
            *[START, "watch 7", "watch 7", "wait 0.8 StreamBrokenError", "watch 7"],
            *["wait 1.6 StreamBrokenError", "list 7 limit 0: failed watches", "watch 8"],
            *["wait 3.2 StreamBrokenError", "watch 8", "wait 6.4 StreamBrokenError", "watch 8", "watch 8"],
            *["wait 12.8 StreamBrokenError", "list 8 limit 0: failed watches", "watch 8"],
        ],
    ),
    Case(
        "a stream that lives after some that did not",
        [listed("7"), *[ended(0.1)] * 2, ended(600, "7"), ended(0.1)],
        [
            START,
            "watch 7",
            "watch 7",
            "wait 0.8 StreamBrokenError",
            "watch 7",
            "watch 7",
            "list 7 limit 0: failed watches",
        ],
    ),
    Case(
        "streams that bring something and end at once: slowed down, but not ever more",
        [listed("7"), ended(0.1, "8"), ended(0.1, "9"), ended(0.1, "10"), ended(0.1, "11")],
        [START, "watch 7", "watch 8"] + [s for v in (9, 10, 11) for s in ("wait 0.8", f"watch {v}")],
    ),
    Case(
        "a version that expired under a healthy watch",
        [listed("7"), watch_failed(EXPIRED, 400, "12")],
        [START, "watch 7", "list 12 limit 0: expired"],
    ),
    Case(
        "a version that is refused at the first watch",
        [listed("7"), watch_failed(EXPIRED)],
        [START, "watch 7", "list 7 limit 0: expired"],
    ),
    Case(
        "versions that expire again and again, though lists work",
        [listed("7"), *[watch_failed(EXPIRED), listed("8")] * 4],
        [START, "watch 7", "list 7 limit 0: expired", "watch 8"]
        + [
            s
            for wait in ("0.8", "1.6", "3.2")
            for s in (f"wait {wait} ExpiredError", "list 8 limit 0: expired", "watch 8")
        ],
    ),
    Case(
        "an expired version, long after others",
        [listed("7"), *[watch_failed(EXPIRED), listed("8")] * 2, ended(progress="9"), watch_failed(EXPIRED)],
        [
            *[START, "watch 7", "list 7 limit 0: expired", "watch 8"],
            *["wait 0.8 ExpiredError", "list 8 limit 0: expired", "watch 8", "watch 9", "list 9 limit 0: expired"],
        ],
    ),
    Case(
        "a list at a version the server no longer has",
        [listed("7"), watch_failed(EXPIRED), list_failed(EXPIRED), listed("20"), watch_failed(EXPIRED, 400, "21")],
        [
            *[START, "watch 7", "list 7 limit 0: expired", "list quorum limit 500: expired", "watch 20"],
            "list 21 limit 0: expired",
        ],
    ),
    Case(
        "a list at a version the server does not have yet",
        [listed("7"), watch_failed(EXPIRED), list_failed(TOO_LARGE)],
        [START, "watch 7", "list 7 limit 0: expired", "list quorum limit 500: expired"],
    ),
    Case("a watch cache that is not ready", [list_failed(TOO_LARGE)], [START, "list quorum limit 500: initial"]),
    Case(
        "a quorum read that fails too: no way out but time",
        [list_failed(TOO_LARGE), list_failed(TOO_LARGE), list_failed(EXPIRED)],
        [
            *[START, "list quorum limit 500: initial", "wait 1.6 ResourceVersionTooLargeError"],
            *["list quorum limit 500: initial", "wait 3.2 ExpiredError", "list quorum limit 500: initial"],
        ],
    ),
    Case(
        "a continue token that expires: the whole in one piece, at the same version",
        [list_failed(EXPIRED, pages=1)],
        [START, "list 0 limit 0: initial"],
    ),
    Case(
        "the same in a quorum read",
        [list_failed(TOO_LARGE), list_failed(EXPIRED, pages=3)],
        [START, "list quorum limit 500: initial", "list quorum limit 0: initial"],
    ),
    Case(
        "the list in one piece expires too",
        [list_failed(EXPIRED, pages=1), list_failed(EXPIRED)],
        [START, "list 0 limit 0: initial", "list quorum limit 0: initial"],
    ),
    Case(
        "a list in one piece works: the next one has pages again",
        [listed("7", pages=2), watch_failed(EXPIRED), list_failed(EXPIRED, pages=1), listed("9"), watch_failed(HTML)],
        [
            *[START, "watch 7", "list 7 limit 500: expired", "list 7 limit 0: expired", "watch 9"],
            *["wait 0.8 ProtocolError", "list 9 limit 500: watch refused"],
        ],
    ),
    Case(
        'pages in answer to "0" tell that there is no watch cache to protect from a limit',
        [listed("7", pages=2), watch_failed(EXPIRED)],
        [START, "watch 7", "list 7 limit 500: expired"],
    ),
    Case(
        "pages in a quorum read tell nothing of the watch cache",
        [list_failed(TOO_LARGE), listed("7", pages=2), watch_failed(EXPIRED)],
        [START, "list quorum limit 500: initial", "watch 7", "list 7 limit 0: expired"],
    ),
    Case(
        "a list older than what was seen is refused, and the next is a quorum read",
        [listed("7"), watch_failed(EXPIRED), list_refused(), listed("9")],
        [
            *[START, "watch 7", "list 7 limit 0: expired", "wait 0.8 ProtocolError"],
            *["list quorum limit 500: expired", "watch 9"],
        ],
    ),
    Case(
        "a cluster that was restored from a backup: the quorum read counts, older as it is",
        [listed("70"), watch_failed(EXPIRED), list_refused(), listed("9"), ended(progress="10")],
        [
            *[START, "watch 70", "list 70 limit 0: expired", "wait 0.8 ProtocolError"],
            *["list quorum limit 500: expired", "watch 9", "watch 10"],
        ],
    ),
]


@pytest.mark.parametrize(("outcomes", "steps"), [case[1:] for case in TABLE], ids=[case.situation for case in TABLE])
def test_what_came_of_a_step_decides_the_next(outcomes: list[Outcome], steps: list[str]) -> None:
    # client-go: TestReflectorExpiredExactResourceVersion, TestReflectorFullListIfExpired,
    # client-go: TestReflectorFullListIfTooLarge, TestReflectorNotPaginatingNotConsistentReads,
    # client-go: TestReflectorPaginatingNonConsistentReadsIfWatchCacheDisabled, TestReflectorResyncWithResourceVersion
    machine = ReflectorMachine(Backoff(jitter=0), rng=random.Random(1))
    taken = steps_of(machine)
    for outcome in outcomes:
        outcome(machine)
        taken += steps_of(machine)
    assert taken == steps


FAILURES = [
    Case(
        "a server that cannot be reached: ever longer waits, up to the maximum",
        [list_failed(REFUSED)] * 8,
        [START]
        + [
            s
            for wait in ("0.8", "1.6", "3.2", "6.4", "12.8", "25.6", "30", "30")
            for s in (f"wait {wait} ConnectError", START)
        ],
    ),
    Case(
        "a list that works after failures starts the waits anew",
        [list_failed(REFUSED), list_failed(FORBIDDEN), listed("7"), watch_failed(REFUSED)],
        [
            *[START, "wait 0.8 ConnectError", START, "wait 1.6 ForbiddenError", START, "watch 7"],
            *["wait 0.8 ConnectError", "watch 7"],
        ],
    ),
    Case(
        "a server that says when to come back",
        [list_failed(patience(42)), list_failed(patience(0.1))],
        [START, "wait 42 TooManyRequestsError", START, "wait 1.6 TooManyRequestsError", START],
    ),
    Case(
        "a server that says it of a watch",
        [listed("7"), watch_failed(patience(9)), watch_failed(patience(7, 503))],
        [
            START,
            "watch 7",
            "wait 9 TooManyRequestsError",
            "watch 7",
            "wait 7 ServiceUnavailableError",
            "list 7 limit 0: failed watches",
        ],
    ),
    Case(
        "a server that never wants to be asked again is asked again within a minute",
        [list_failed(patience(1e9)), listed("7"), watch_failed(patience(1e9)), listed("8")],
        [
            START,
            "wait 50 TooManyRequestsError",
            START,
            "watch 7",
            "wait 50 TooManyRequestsError",
            "list 7 limit 0: failed watches",
            "watch 8",
        ],
    ),
    Case(
        "a resource that is not served (a CRD posted later)",
        [list_failed(NOT_FOUND), list_failed(NOT_FOUND)],
        [START, "wait 30 NotFoundError", START, "wait 30 NotFoundError", START],
    ),
    Case(
        "a resource that ceases to be served",
        [listed("7"), watch_failed(NOT_FOUND)],
        [START, "watch 7", "wait 21.99 NotFoundError", "list 7 limit 0: watch refused"],
    ),
    *(
        Case(
            f"{type(error).__name__} on a watch: another one, without a list, until three in a row have failed",
            [listed("7"), *[watch_failed(error)] * 3, listed("9")],
            [START, "watch 7"]
            + [s for wait in ("0.8", "1.6") for s in (f"wait {wait} {type(error).__name__}", "watch 7")]
            + [f"wait 3.2 {type(error).__name__}", "list 7 limit 0: failed watches", "watch 9"],
        )
        for error in (BROKEN, FORBIDDEN, UNAVAILABLE, TOO_LARGE, TLSError("unknown authority"), api_error(500))
    ),
    Case(
        "no connection: watch again, and list only when the cache would be too old",
        [listed("7"), *[watch_failed(REFUSED)] * 5, listed("9")],
        [START, "watch 7"]
        + [s for wait in ("0.8", "1.6", "3.2", "6.4") for s in (f"wait {wait} ConnectError", "watch 7")]
        + ["wait 9.95 ConnectError", "list 7 limit 0: failed watches", "watch 9"],
    ),
    Case(
        "watches that fail for ever, though lists work: a list every 22 s",
        [
            listed("7"),
            *([watch_failed(FORBIDDEN)] * 3),
            listed("8"),
            watch_failed(FORBIDDEN),
            watch_failed(FORBIDDEN),
            *([listed("8"), watch_failed(FORBIDDEN)] * 2),
        ],
        [
            START,
            "watch 7",
            "wait 0.8 ForbiddenError",
            "watch 7",
            "wait 1.6 ForbiddenError",
            "watch 7",
            "wait 3.2 ForbiddenError",
            "list 7 limit 0: failed watches",
            "watch 8",
            "wait 6.4 ForbiddenError",
            "watch 8",
            "wait 12.8 ForbiddenError",
            "list 8 limit 0: failed watches",
            "watch 8",
            "wait 21.99 ForbiddenError",
            "list 8 limit 0: failed watches",
            "watch 8",
            "wait 21.99 ForbiddenError",
            "list 8 limit 0: failed watches",
        ],
    ),
    *(
        Case(
            f"watches that are {how} after {seconds} s and bring nothing",
            [
                listed("7"),
                *[(slow_refusal if how == "refused" else ended if how == "ended" else broken)(seconds)] * times,
            ],
            steps,
        )
        for how, seconds, times, steps in (
            ("refused", 10, 1, [START, "watch 7", "wait 0.8 ServerError", "watch 7"]),
            ("refused", 13, 1, [START, "watch 7", "wait 0.8 ServerError", "list 7 limit 0: failed watches"]),
            ("broken", 13, 1, [START, "watch 7", "wait 0.8 StreamBrokenError", "list 7 limit 0: failed watches"]),
            (
                "ended",
                2,
                3,
                [
                    START,
                    *(["watch 7"] * 2),
                    "wait 0.8 StreamBrokenError",
                    "watch 7",
                    "wait 1.6 StreamBrokenError",
                    "list 7 limit 0: failed watches",
                ],
            ),
            ("ended", 24, 1, [START, "watch 7", "list 7 limit 0: failed watches"]),
            ("ended", 60, 1, [START, "watch 7", "list 7 limit 0: silent watches"]),
        )
    ),
    Case(
        "lines that are no events: the watch is opened again, and after three a list is made, whatever else they bring",
        [listed("7"), *[watch_failed(MALFORMED, 0.1, version) for version in ("8", "9", "10")], listed("10")],
        [
            START,
            "watch 7",
            "wait 0.8 MalformedStreamError",
            "watch 8",
            "wait 0.8 MalformedStreamError",
            "watch 9",
            "wait 0.8 MalformedStreamError",
            "list 10 limit 0: malformed events",
            "watch 10",
        ],
    ),
    Case(
        "old news is no progress",
        [listed("7"), *[watch_failed(BROKEN, 0.1, "7")] * 3],
        [
            START,
            "watch 7",
            "wait 0.8 StreamBrokenError",
            "watch 7",
            "wait 1.6 StreamBrokenError",
            "watch 7",
            "wait 3.2 StreamBrokenError",
            "list 7 limit 0: failed watches",
        ],
    ),
    Case(
        "failures between which a watch moved on are not in a row",
        [listed("7"), *[watch_failed(BROKEN, 0.1, str(version)) for version in range(8, 14)]],
        [START, "watch 7"] + [s for v in range(8, 14) for s in ("wait 0.8 StreamBrokenError", f"watch {v}")],
    ),
    Case(
        "streams that break after a while are not failures in a row, but a list makes sure of what they did not bring",
        [listed("7"), *[watch_failed(BROKEN, 60), listed("9")] * 2, watch_failed(BROKEN, 40)],
        [
            *[START, "watch 7", "wait 0.8 StreamBrokenError", "list 7 limit 0: silent watches"],
            *["watch 9", "wait 0.8 StreamBrokenError", "list 9 limit 0: silent watches"],
            *["watch 9", "wait 0.8 StreamBrokenError", "watch 9"],
        ],
    ),
    *(
        Case(
            f"{type(error).__name__} on a watch: watching again is pointless",
            [listed("7"), watch_failed(error)],
            [START, "watch 7", f"wait 0.8 {type(error).__name__}", "list 7 limit 0: watch refused"],
        )
        for error in (BAD_REQUEST, INVALID, HTML)
    ),
    Case(
        "a stream that fell silent after it had worked is opened again at once, but only once",
        [listed("7"), *[watch_failed(SILENT, 5)] * 2],
        [START, "watch 7", "watch 7", "wait 1.6 TransportTimeoutError", "watch 7"],
    ),
    Case(
        "silence after news is forgiven each time",
        [listed("7"), *[watch_failed(SILENT, 60, version) for version in ("8", "9", "10")]],
        [START, "watch 7", "watch 8", "watch 9", "watch 10"],
    ),
    Case(
        "a watch that is not even opened in time",
        [listed("7"), watch_failed(SILENT, 0.0)],
        [START, "watch 7", "wait 0.8 TransportTimeoutError", "watch 7"],
    ),
]


@pytest.mark.parametrize(
    ("outcomes", "steps"), [case[1:] for case in FAILURES], ids=[case.situation for case in FAILURES]
)
def test_a_failure_decides_the_wait_and_whether_a_list_is_needed(outcomes: list[Outcome], steps: list[str]) -> None:
    # client-go: TestReflectorListAndWatchWithErrors, TestReflectorListAndWatchInitConnBackoff
    machine = ReflectorMachine(Backoff(jitter=0), rng=random.Random(1))
    taken = steps_of(machine)
    for outcome in outcomes:
        outcome(machine)
        taken += steps_of(machine)
    assert taken == steps


def stream_failed(error: KinformerError, opened: bool = False, hung: bool = False) -> Outcome:
    return lambda machine: machine.stream_failed(error, opened=opened, hung=hung)


STREAM = "stream newest: initial"
SERVER_ERROR = api_error(500, {"reason": "InternalError"})

STREAMING = [
    Case("the start", [], [STREAM]),
    Case("a streaming list goes on as a watch", [listed("7", 0), ended(progress="9")], [STREAM, "watch 7", "watch 9"]),
    Case(
        "a relist, not below what was seen",
        [listed("7", 0), watch_failed(EXPIRED, 400, "12"), listed("20", 0)],
        [STREAM, "watch 7", "stream 12: expired", "watch 20"],
    ),
    Case("not offered: 422", [stream_failed(INVALID)], [STREAM, START]),
    Case("not offered: 400", [stream_failed(BAD_REQUEST)], [STREAM, START]),
    Case(
        "not offered, and remembered",
        [stream_failed(INVALID), listed("7"), watch_failed(EXPIRED, 400)],
        [STREAM, START, "watch 7", "list 7 limit 0: expired"],
    ),
    Case(
        "no end in sight, and remembered",
        [stream_failed(SILENT, True, True), listed("7"), watch_failed(EXPIRED, 400)],
        [STREAM, START, "watch 7", "list 7 limit 0: expired"],
    ),
    Case(
        "a stream that breaks before its end is followed by pages, and after the third time always",
        [*[stream_failed(BROKEN, True), listed("7"), watch_failed(EXPIRED, 400, "8")] * 3],
        [
            STREAM,
            "wait 0.8 StreamBrokenError",
            START,
            "watch 7",
            "stream 8: expired",
            "wait 0.8 StreamBrokenError",
            "list 8 limit 0: expired",
            "watch 7",
            "stream 8: expired",
            "list 8 limit 0: expired",
            "watch 7",
            "list 8 limit 0: expired",
        ],
    ),
    Case(
        "a server that fails at streaming may list",
        [stream_failed(SERVER_ERROR)],
        [STREAM, "wait 0.8 ServerError", START],
    ),
    Case(
        "an error event like 422 may be the moment's",
        [stream_failed(INVALID, True), listed("7"), watch_failed(EXPIRED, 400, "8")],
        [STREAM, "wait 0.8 InvalidError", START, "watch 7", "stream 8: expired"],
    ),
    Case(
        "a streamed list forgets broken streams",
        [
            *[stream_failed(BROKEN, True), listed("7"), watch_failed(EXPIRED, 400, "8")] * 2,
            *[listed("9", 0), watch_failed(EXPIRED, 400, "10"), stream_failed(BROKEN, True)],
            *[listed("11"), watch_failed(EXPIRED, 400, "12")],
        ],
        [
            STREAM,
            "wait 0.8 StreamBrokenError",
            START,
            "watch 7",
            "stream 8: expired",
            "wait 0.8 StreamBrokenError",
            "list 8 limit 0: expired",
            "watch 7",
            "stream 8: expired",
            "watch 9",
            "stream 10: expired",
            "wait 0.8 StreamBrokenError",
            "list 10 limit 0: expired",
            "watch 11",
            "stream 12: expired",
        ],
    ),
    *(
        Case(
            f"pages would meet this as well, except where only watches do: {type(error).__name__}",
            [*[stream_failed(error)] * 2, list_failed(error), listed("7"), watch_failed(EXPIRED, 400, "8")],
            [STREAM]
            + [
                s
                for wait, step in zip(waits, (STREAM, START, START), strict=True)
                for s in (f"wait {wait} {type(error).__name__}", step)
            ]
            + ["watch 7", "stream 8: expired"],
        )
        for error, waits in (
            (REFUSED, ("0.8", "1.6", "3.2")),
            (UNAVAILABLE, ("0.8", "1.6", "3.2")),
            (patience(9), ("9", "9", "9")),
            (TLSError("who are you?"), ("0.8", "1.6", "3.2")),
            (NOT_FOUND, ("30", "30", "30")),
        )
    ),
    Case("a watch that is forbidden leaves a list", [stream_failed(FORBIDDEN)], [STREAM, START]),
    Case(
        "and the next list is streamed again, if it may be",
        [stream_failed(FORBIDDEN), listed("7"), watch_failed(EXPIRED, 400, "7")],
        [STREAM, START, "watch 7", "stream 7: expired"],
    ),
    Case(
        "a version that cannot be streamed from is followed by the newest at once",
        [listed("7", 0), watch_failed(EXPIRED, 400, "7"), stream_failed(EXPIRED), listed("9", 0)],
        [STREAM, "watch 7", "stream 7: expired", "stream newest: expired", "watch 9"],
    ),
    Case(
        "a version too large is, too",
        [listed("7", 0), watch_failed(EXPIRED, 400, "7"), stream_failed(TOO_LARGE), listed("9", 0)],
        [STREAM, "watch 7", "stream 7: expired", "stream newest: expired", "watch 9"],
    ),
    Case(
        "a stream older than what was seen is refused, and the newest asked for",
        [listed("70", 0), watch_failed(EXPIRED, 400, "70"), list_refused()],
        [STREAM, "watch 70", "stream 70: expired", "wait 0.8 ProtocolError", "stream newest: expired"],
    ),
]


@pytest.mark.parametrize(
    ("outcomes", "steps"), [case[1:] for case in STREAMING], ids=[case.situation for case in STREAMING]
)
def test_a_list_is_streamed_as_long_as_that_promises_anything(outcomes: list[Outcome], steps: list[str]) -> None:
    # client-go: TestWatchList
    machine = ReflectorMachine(Backoff(jitter=0), rng=random.Random(1), streaming=StreamingMemory())
    taken = steps_of(machine)
    for outcome in outcomes:
        outcome(machine)
        taken += steps_of(machine)
    assert taken == steps


@pytest.mark.parametrize(("page_size", "limits"), [(0, ["0", "0"]), (4, ["4", "0"])], ids=["no pages", "pages of four"])
def test_the_page_size_is_used_where_a_limit_costs_nothing(page_size: int, limits: list[str]) -> None:
    machine = ReflectorMachine(Backoff(jitter=0), page_size=page_size)
    first = machine.next_step()
    machine.listed("7", pages=1)
    machine.watch_failed(EXPIRED, lasted=400)
    second = machine.next_step()
    assert isinstance(first, ListStep)
    assert isinstance(second, ListStep)
    assert [str(first.limit), str(second.limit)] == limits


def test_a_list_asked_for_goes_before_a_wait_and_keeps_the_version() -> None:
    machine = ReflectorMachine(Backoff(jitter=0))
    machine.listed("7", pages=1)
    machine.watch_failed(REFUSED, lasted=0)
    machine.relist("inconsistent")
    assert steps_of(machine) == ["list 7 limit 0: inconsistent"]


def test_an_older_list_is_refused_unless_it_is_a_quorum_read() -> None:
    machine = ReflectorMachine(Backoff(jitter=0))
    assert not machine.refuses("1")
    machine.listed("100", pages=1)
    # As numbers: as text, "99" would be the newer one.
    assert machine.refuses("99")
    assert not machine.refuses("100")
    assert not machine.refuses("1000")
    machine.list_refused(OLD_LIST)
    assert not machine.refuses("99")
    machine.listed("99", pages=1)
    assert machine.resource_version == "99"
    assert machine.refuses("98")


def test_events_without_a_version_are_progress_only_where_lists_have_none() -> None:
    for version, failures in (("", 0), ("7", 1)):
        machine = ReflectorMachine(Backoff(jitter=0))
        machine.listed(version, pages=1)
        machine.watch_failed(REFUSED, lasted=0)
        assert machine.progressed("", since_opening=2) is (not version)
        assert machine.failures == failures
        assert machine.resource_version == version


def test_no_wait_is_ever_longer_than_the_maximum_unless_the_server_asks_for_it() -> None:
    machine = ReflectorMachine(Backoff(jitter=0.5, maximum=30, rng=random.Random(2)), rng=random.Random(2))
    waits = []
    for error in [REFUSED, NOT_FOUND, UNAVAILABLE] * 200:
        machine.list_failed(error)
        step = machine.next_step()
        assert isinstance(step, WaitStep)
        waits.append(step.seconds)
    assert max(waits) <= 30
    # The jitter is real: a fleet that lost its server does not come back in step.
    assert min(waits[30:]) >= 15
    assert len({round(wait, 1) for wait in waits}) > 50


def test_short_watches_that_bring_something_only_at_their_opening_give_way_to_a_list() -> None:
    machine = ReflectorMachine(resource_version="5", _list_reason="")
    for version in ("6", "7"):
        assert steps_of(machine)[-1].startswith("watch")
        machine.progressed(version, since_opening=0.1)
        machine.watch_ended(lasted=9)
    assert steps_of(machine)[-1].startswith("list 7")


def test_short_watches_that_bring_something_later_go_on_without_lists() -> None:
    machine = ReflectorMachine(resource_version="5", _list_reason="")
    for version in range(6, 30):
        assert steps_of(machine)[-1].startswith("watch")
        machine.progressed(str(version), since_opening=8)
        machine.watch_ended(lasted=9)


@pytest.mark.parametrize("lasted", [5.0, 6.0, 11.0, 24.0])
def test_watches_that_always_fail_after_the_same_time_are_one_row_of_failures(lasted: float) -> None:
    machine = ReflectorMachine(resource_version="5", _list_reason="")
    failures = []
    for _ in range(6):
        if not steps_of(machine)[-1].startswith("watch"):
            machine.listed("5", pages=1)
            assert steps_of(machine)[-1].startswith("watch")
        machine.watch_failed(BROKEN, lasted=lasted)
        failures.append(machine.failures)
    assert failures == [1, 2, 3, 4, 5, 6]


def test_a_part_that_goes_on_for_others_lists_no_state_older_than_any_of_them_had() -> None:
    machine = ReflectorMachine(backoff=Backoff(rng=random.Random(1)))
    machine.resume("7", not_older_than="12")
    step = machine.next_step()
    assert isinstance(step, WatchStep)
    assert step.resource_version == "7"
    machine.watch_failed(EXPIRED, lasted=0.0)
    step = machine.next_step()
    while isinstance(step, WaitStep):
        step = machine.next_step()
    assert isinstance(step, ListStep)
    assert step.resource_version == "12"
    assert machine.refuses("11")
    assert not machine.refuses("12")


@pytest.mark.parametrize(
    ("error", "seconds", "trial"),
    [
        *((SERVER_ERROR, seconds, trial) for seconds, trial in [(0.0, None), (5.0, None), (9.0, 18.2), (10.0, 17.2)]),
        # A server that comes back may have been restored from a backup, however short the outage was.
        *((ConnectError("refused"), seconds, 27.2 - seconds) for seconds in [0.0, 5.0, 9.0, 10.0]),
    ],
)
def test_a_watch_after_some_seconds_without_progress_is_on_trial_for_the_rest_of_28(
    error: KinformerError, seconds: float, trial: float | None
) -> None:
    machine = ReflectorMachine(Backoff(jitter=0), rng=random.Random(1))
    machine.next_step()
    machine.listed("7", pages=1)
    machine.next_step()
    machine.watch_failed(error, lasted=0, opening=seconds)
    assert isinstance(machine.next_step(), WaitStep)
    step = machine.next_step()
    assert isinstance(step, WatchStep)
    assert step.trial == (None if trial is None else pytest.approx(trial))
    machine.progressed("8", since_opening=0.1)  # what was missed shows nothing
    assert machine.on_trial == (trial is not None)
    machine.progressed("9", since_opening=2.0)
    assert not machine.on_trial


@pytest.mark.parametrize(("missed", "timeout"), [(True, 20), (False, None)])
def test_a_trial_ends_in_a_list_which_shows_whether_the_watch_was_deaf(missed: bool, timeout: int | None) -> None:
    machine = ReflectorMachine(Backoff(jitter=0), rng=random.Random(1), streaming=StreamingMemory())
    machine.next_step()
    machine.listed("7", pages=0)
    machine.watch_failed(SERVER_ERROR, lasted=0, opening=9)
    machine.next_step()
    machine.next_step()
    failures, well_after = machine.failures, machine.well_after
    machine.trial_ended(lasted=18, opening=0.2)
    assert (machine.failures, machine.well_after) == (failures, well_after)
    assert machine.checks_silence
    assert isinstance(machine.next_step(), ListStep)  # and no stream, which is a watch, too
    machine.listed("8", pages=1, missed=missed)
    step = machine.next_step()
    assert isinstance(step, WatchStep)
    assert step.trial is None
    assert (step.timeout_seconds == timeout) is missed
