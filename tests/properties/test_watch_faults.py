"""The watch is as good as the list: whatever ails watches, and for whatever time, the cache learns of each change.

200 schedules here; `make soak` plays 20,000 (KINFORMER_WATCH_FAULTS). See `tests.properties.watch_faults`.
"""

from __future__ import annotations

import os

import pytest

from tests.properties.oracle import every
from tests.properties.watch_faults import Fault, run, schedules

TOTAL = int(os.environ.get("KINFORMER_WATCH_FAULTS", "200"))
PARTS = 2
"""So that they can be spread over processes."""


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(PARTS))
def test_any_change_is_in_the_cache_in_time_and_the_status_says_when_it_is_not(part: int) -> None:
    every(schedules, run, examples=TOTAL // PARTS, start=part)


SLOW = (0.0, 2.0, 10.0, 19.0)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("seconds", SLOW)
@pytest.mark.parametrize("how", ["403", "500", "504", "no connection", "reset", "401", "404", "429"])
def test_a_watch_that_is_refused_for_ever_fast_or_slowly(how: str, seconds: float, streams: bool) -> None:
    run(([Fault(120, ("refuse", seconds, how), (0.0, ""))], streams, 1))


@pytest.mark.parametrize("seconds", SLOW)
@pytest.mark.parametrize("end", ["clean", "reset", "error 500", "error 403", "error 410", "malformed"])
@pytest.mark.parametrize("brings", ["nothing", "old bookmark", "old event"])
def test_a_watch_that_opens_and_brings_nothing_new(brings: str, end: str, seconds: float) -> None:
    run(([Fault(120, ("stream", 0.0, seconds, brings, end), (0.0, ""))], False, 1))


def test_a_watch_that_is_never_answered() -> None:
    run(([Fault(120, ("hang",), (0.0, ""))], False, 1))
    run(([Fault(120, ("hang",), (0.0, ""))], True, 1))


def test_a_watch_whose_head_never_comes() -> None:
    run(([Fault(200, ("no head",), (0.0, ""))], False, 1))
    run(([Fault(200, ("no head",), (0.0, ""))], True, 1))


@pytest.mark.parametrize("brings", ["old bookmarks", "old events", "known events"])
def test_a_watch_that_stays_open_and_repeats_itself(brings: str) -> None:
    run(([Fault(200, ("stream", 0.0, 250.0, brings, "clean"), (0.0, ""))], False, 1))


def test_silence_after_long_pauses_is_no_sign_of_health() -> None:
    lists_work = (0.0, "")
    first = ("stream", 0.1, 0.01, "first change only", "error 403")
    last = Fault(20.0, ("stream", 2.0, 20.0, "nothing", "malformed"), lists_work)
    run(([Fault(20.0, first, (19.0, "504")), Fault(20.0, first, lists_work), last], True, 39))


def test_streams_that_are_refused_slowly_as_expired_give_way_to_pages() -> None:
    first, second = Fault(0.5, ("refuse", 0.0, "400"), (0.0, "")), Fault(70.0, ("refuse", 9.0, "410"), (0.0, ""))
    run(([first, second], True, 0))


def test_a_stream_that_hangs_after_expired_watches_does_not_follow_a_long_pause() -> None:
    lists_work = (0.0, "")
    hang = Fault(20.0, ("hang",), lists_work)
    run(([Fault(0.5, ("hang",), lists_work), Fault(200.0, ("refuse", 0.0, "410"), lists_work), hang], True, 0))


@pytest.mark.parametrize("end", ["clean", "reset", "malformed"])
@pytest.mark.parametrize("seconds", [0.0, 0.5, 2.0, 5.0, 9.0, 11.0, 20.0])
def test_watches_that_bring_the_first_change_only(seconds: float, end: str) -> None:
    fault = Fault(200.0, ("stream", 0.0, seconds, "first change only", end), (0.0, ""))
    run(([Fault(0.5, ("refuse", 0.0, "400"), (0.0, "")), fault], False, 1))


def test_a_silent_stream_and_a_slow_refusal_after_it_are_together_not_too_long() -> None:
    first, second = Fault(0.5, ("refuse", 0.0, "401"), (0.0, "")), ("stream", 0.0, 20.0, "first change only", "clean")
    run(([first, Fault(3.0, second, (0.0, "")), Fault(20.0, ("refuse", 14.0, "400"), (0.0, ""))], False, 0))


@pytest.mark.parametrize("seconds", [0.0, 0.5, 2.0, 5.0, 9.0, 11.0, 14.0, 19.0])
@pytest.mark.parametrize("before", [("work",), ("stream", 0.0, 11.0, "nothing", "reset"), ("hang",)])
def test_a_version_that_expires_slowly_is_answered_by_pages(before: tuple[object, ...], seconds: float) -> None:
    lists_work = (1.0, "")
    opened = Fault(70.0, ("stream", 0.1, seconds, "old bookmark", "error 410"), lists_work)
    run(([Fault(3.0, before, lists_work), opened], True, 0))
    run(([Fault(3.0, before, lists_work), Fault(70.0, ("refuse", seconds, "410"), lists_work)], True, 0))


@pytest.mark.parametrize("end", ["clean", "reset", "error 410"])
@pytest.mark.parametrize("brings", ["nothing", "old bookmark", "first change only", "held back"])
@pytest.mark.parametrize("seconds", [26.0, 60.0, 290.0, 1000.0])
def test_a_watch_that_is_silent_for_long_and_then_ends_again_and_again(seconds: float, brings: str, end: str) -> None:
    run(([Fault(1500.0, ("stream", 0.0, seconds, brings, end), (0.0, ""))], False, 1))


def test_a_stream_is_not_tried_after_a_version_that_expires_while_watches_fail() -> None:
    lists_work = (0.0, "")
    hang, expired = Fault(700.0, ("hang",), lists_work), Fault(3.0, ("refuse", 0.01, "410"), lists_work)
    run(([hang, expired, Fault(70.0, ("hang",), lists_work)], True, 237))


def test_a_silent_watch_that_begins_as_another_one_is_cut() -> None:
    silent = ("stream", 0.0, 60.0, "nothing", "clean")
    run(([Fault(0.5, silent, (0.0, "")), Fault(70.0, silent, (0.0, ""))], False, 0))


def test_changes_that_are_held_back_until_a_watch_is_given_up_do_not_wait_for_long_pauses() -> None:
    run(([Fault(200.0, ("stream", 2.0, 26.0, "held back", "clean"), (0.0, ""))], False, 0))


@pytest.mark.parametrize("last", [("hang",), ("no head",), ("stream", 2.0, 20.0, "nothing", "reset")])
@pytest.mark.parametrize("first", ["no connection", "500", "429"])
@pytest.mark.parametrize("seconds", [0.0, 5.0, 9.0])
def test_a_watch_that_fails_late_after_others_that_failed_otherwise(
    seconds: float, first: str, last: tuple[object, ...]
) -> None:
    for length in (6.0, 12.0, 20.0):
        run(([Fault(length, ("refuse", seconds, first), (1.0, "")), Fault(70.0, last, (1.0, ""))], False, 668))


def test_a_watch_that_was_silent_for_long_after_failures_is_doubted() -> None:
    first = Fault(3.0, ("stream", 0.0, 0.5, "nothing", "error 403"), (5.0, "400"))
    run(([first, Fault(200.0, ("stream", 0.1, 60.0, "first change only", "reset"), (1.0, ""))], True, 578))


@pytest.mark.parametrize("brings", ["old bookmarks", "older bookmark", "older event", "known event"])
def test_a_doubted_watch_that_brings_only_what_is_known_does_not_end_the_doubt(brings: str) -> None:
    """The schedule with old bookmarks is one that was found: the cache was 44 s old, and the status said "live"."""
    held_back = Fault(200.0, ("stream", 0.0, 5.0, "held back", "error 500"), (0.0, "400"))
    hangs = [Fault(70.0, ("work",), (0.01, "404")), Fault(700.0, ("hang",), (19.0, "503"))]
    old = Fault(700.0, ("stream", 0.1, 290.0, "old event", "error 500"), (0.0, ""))
    known = Fault(700.0, ("stream", 0.1, 11.0, brings, "clean"), (0.0, ""))
    run(([held_back, *hangs, old, known], False, 846))


@pytest.mark.parametrize("brings", ["older bookmark", "older event", "known event"])
@pytest.mark.parametrize(("seconds", "end"), [(26.0, "reset"), (290.0, "clean")])
def test_watches_that_bring_only_what_is_known_in_their_middle_are_silent(
    seconds: float, end: str, brings: str
) -> None:
    run(([Fault(1500.0, ("stream", 0.0, seconds, brings, end), (0.0, ""))], False, 1))
