"""Silent watches are believed, checked by a list, or doubted: as a table of what came, and what follows."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from kinformer.backoff import Backoff
from kinformer.errors import KinformerError, ProtocolError, StreamBrokenError, api_error
from kinformer.reflector._silence import Silence
from kinformer.reflector._state_machine import ReflectorMachine, StreamingMemory
from kinformer.reflector._steps import ListStep, WaitStep, WatchStep

if TYPE_CHECKING:
    from collections.abc import Callable

USUAL = 400


class Watches:
    """A reflector's watches and lists, one after the other."""

    def __init__(self) -> None:
        self.silence = Silence()

    def watch(self, lasted: float, *brought: float, opening: float = 0.0) -> str:
        """Let a watch bring something at these times, and end; return what follows, and what was asked for."""
        asked = self.silence.begin(USUAL)
        for at in brought:
            self.silence.brought(at)
        due = self.silence.ended(lasted, opening=opening, whole=lasted >= asked - 1)
        return f"{asked} {'list' if due else 'watch'}"

    def list(self, *, missed: bool = False, seconds: float = 0.0) -> None:
        self.silence.listed(seconds=seconds, missed=missed)

    def doubted(self, times: int = 1) -> Watches:
        assert self.watch(60) == "400 list"
        self.list(missed=True)
        for _ in range(times - 1):
            assert self.watch(20) == "20 list"
            self.list(missed=True)
        return self


def doubted(times: int = 1) -> Watches:
    return Watches().doubted(times)


@pytest.mark.parametrize(
    ("lasted", "brought", "follows"),
    [
        (24.9, (), "watch"),
        (25.0, (), "list"),
        (60.0, (0.5,), "list"),  # what was missed before does not show that the watch works
        (60.0, (1.1,), "watch"),
        (60.0, (0.5, 59.0), "watch"),
        (60.0, (59.9,), "watch"),
        (399.5, (), "list"),
        (0.0, (), "watch"),
    ],
)
def test_the_end_of_a_watch_in_which_nothing_came_is_answered_by_a_list(
    lasted: float, brought: tuple[float, ...], follows: str
) -> None:
    assert Watches().watch(lasted, *brought) == f"400 {follows}"


def test_a_bookmark_of_the_received_version_shows_that_a_watch_works_unless_watches_are_doubted() -> None:
    watches = Watches()
    watches.silence.begin(USUAL)
    watches.silence.brought(10.0, new=False)
    assert not watches.silence.ended(60.0, whole=False)
    watches = doubted()
    assert watches.silence.begin(USUAL) == 20
    watches.silence.brought(10.0, new=False)
    assert watches.silence.ended(20.0, whole=True)
    assert watches.silence.found
    watches.list()
    assert watches.silence.begin(USUAL) == 40, "lists without a change end the doubt all the same"


REPEATED = {"an older event": ("6", False), "an event of it": ("7", False), "an older bookmark": ("6", True)}


@pytest.mark.parametrize("doubted", [False, True])
@pytest.mark.parametrize("what", [*REPEATED, "a bookmark of it"])
def test_what_is_not_newer_than_the_received_version_shows_nothing(what: str, doubted: bool) -> None:
    machine = ReflectorMachine(Backoff(jitter=0), rng=random.Random(1))
    machine.next_step()
    machine.listed("7", pages=1)
    machine.next_step()
    if doubted:
        machine.watch_ended(lasted=60)
        assert isinstance(machine.next_step(), ListStep)
        machine.listed("7", pages=1, missed=True)
        machine.next_step()
    version, bookmark = REPEATED.get(what, ("7", True))
    assert not machine.progressed(version, since_opening=10, bookmark=bookmark)
    machine.watch_ended(lasted=20 if doubted else 60)
    believed = what == "a bookmark of it" and not doubted
    assert isinstance(machine.next_step(), WatchStep if believed else ListStep)


@pytest.mark.parametrize(
    ("listed", "version"),
    [("7", "8"), ("9", "10"), ("", ""), ("", "8"), ("opaque", "other")],
)
def test_what_is_newer_or_cannot_be_compared_shows_that_a_watch_works(listed: str, version: str) -> None:
    machine = ReflectorMachine(Backoff(jitter=0), rng=random.Random(1))
    machine.next_step()
    machine.listed(listed, pages=1)
    machine.next_step()
    assert machine.progressed(version, since_opening=10)
    machine.watch_ended(lasted=60)
    assert isinstance(machine.next_step(), WatchStep)


def test_a_watch_that_goes_on_from_an_older_version_works_as_soon_as_it_brings_something() -> None:
    machine = ReflectorMachine(Backoff(jitter=0), rng=random.Random(1))
    machine.resume("7", not_older_than="20")
    machine.next_step()
    assert machine.progressed("8", since_opening=10), "older than what another reflector knows, and new to this one"
    machine.watch_ended(lasted=60)
    assert isinstance(machine.next_step(), WatchStep)


def test_a_server_that_repeats_its_history_in_each_watch_is_not_listed_for_ever() -> None:
    machine = ReflectorMachine(Backoff(jitter=0), rng=random.Random(1))
    machine.next_step()
    machine.listed("70", pages=1)
    lists, passed = 0, 0.0
    while passed < 4 * 3600:
        match machine.next_step():
            case WatchStep(_, timeout):
                for number in range(3):
                    machine.progressed(str(67 + number), since_opening=1.0 + number)
                machine.watch_ended(lasted=timeout)
                passed += timeout
            case ListStep():
                lists += 1
                machine.listed("70", pages=1, seconds=0.1)
            case other:
                raise AssertionError(other)
    assert lists <= 8
    assert machine.failures == 0


def test_silent_watches_add_up_until_one_works_or_a_list_is_made() -> None:
    watches = Watches()
    assert [watches.watch(20) for _ in range(2)] == ["400 watch", "400 list"]
    watches = Watches()
    assert [watches.watch(20), watches.watch(20, 10), watches.watch(20)] == ["400 watch"] * 3
    watches = Watches()
    assert watches.watch(20) == "400 watch"
    watches.list()
    assert watches.watch(20) == "400 watch"


def test_a_refused_watch_after_silent_ones_is_not_answered_by_a_list_for_their_silence() -> None:
    watches = Watches()
    watches.watch(60)
    watches.list(seconds=2)  # so the next one comes after 100 s
    assert watches.watch(60) == "400 watch"
    assert watches.watch(0, opening=50) == "400 watch"
    assert not watches.silence.checks
    assert watches.watch(0.1) == "400 list"


def test_lists_that_bring_nothing_new_take_two_percent_of_the_time() -> None:
    watches = Watches()
    assert watches.watch(60) == "400 list"
    watches.list(seconds=10)  # so the next one comes after 500 s
    assert [watches.watch(60) for _ in range(8)] == ["400 watch"] * 8
    assert watches.watch(60) == "400 list"


def test_the_time_between_lists_that_bring_nothing_new_doubles_up_to_three_minutes() -> None:
    watches = Watches()
    between = []
    for _ in range(6):
        count = 1
        while watches.watch(26) == "400 watch":
            count += 1
        between.append(26 * count)
        watches.list(seconds=0.1)
    assert between == [26, 26, 52, 104, 182, 182]
    assert watches.watch(26, 5) == "400 watch"  # it works
    for _ in range(2):
        assert watches.watch(26) == "400 list"
        watches.list()
    assert watches.watch(26) == "400 watch"


def test_where_watches_end_as_asked_the_time_between_lists_doubles_up_to_an_hour() -> None:
    watches = Watches()
    between = []
    for _ in range(6):
        count = 1
        while watches.watch(400) == "400 watch":
            count += 1
        between.append(count)
        watches.list()
    assert between == [1, 2, 3, 6, 9, 9]
    assert watches.watch(400, 60) == "400 watch"  # it works
    assert watches.watch(400) == "400 list"


def test_cuts_do_not_make_the_time_between_lists_longer_where_watches_end_as_asked() -> None:
    watches = Watches()
    for _ in range(5):
        while watches.watch(60) == "400 watch":
            pass
        watches.list()
    assert watches.watch(400) == "400 list"


def test_a_change_that_a_silent_watch_did_not_bring_makes_watches_short_with_a_list_after_each() -> None:
    watches = Watches()
    watches.watch(60)
    assert watches.silence.checks
    watches.list(missed=True)
    for _ in range(4):
        assert watches.watch(20) == "20 list"
        watches.list(missed=True)


def test_a_change_in_a_list_that_was_made_for_another_reason_says_nothing_of_watches() -> None:
    watches = Watches()
    watches.watch(5)
    assert not watches.silence.checks
    watches.list(missed=True)
    assert watches.watch(20) == "400 watch"


def test_watches_are_deaf_once_two_lists_in_a_row_show_what_they_did_not_bring() -> None:
    # One change may have come between the end of a watch and the list.
    watches = doubted()
    assert not watches.silence.deaf
    watches.watch(20)
    watches.list(missed=True)
    assert watches.silence.deaf
    watches.watch(20)
    watches.list()
    assert not watches.silence.deaf


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_watch_that_brings_something_in_its_middle_ends_the_doubt(times: int) -> None:
    watches = doubted(times)
    assert watches.watch(20, 18.5) == "20 watch"  # as the last bookmark of an API server
    assert not watches.silence.deaf
    assert watches.watch(20) == "400 watch"


def test_what_comes_only_at_the_end_of_a_watch_was_held_back() -> None:
    watches = Watches()
    assert watches.watch(60, 59.9) == "400 watch"  # everything has come, so no list
    assert watches.watch(20, 19.9) == "20 watch"
    assert watches.silence.deaf
    assert watches.watch(20, 0.5, 19.9) == "20 watch"
    assert watches.silence.deaf


def test_a_list_right_after_what_was_held_back_does_not_end_the_doubt() -> None:
    watches = Watches()
    for asked in (400, 20, 20):
        assert watches.watch(60 if asked == 400 else 20, 19.9 if asked == 20 else 59.9) == f"{asked} watch"
        watches.list()  # the version has expired, for example
    assert watches.silence.deaf


def test_a_short_watch_that_brings_something_at_its_end_is_not_doubted() -> None:
    watches = Watches()
    assert watches.watch(20, 19.9) == "400 watch"
    assert watches.watch(20, 10) == "400 watch"
    watches = doubted()
    watches.watch(5, 4.9)
    assert not watches.silence.deaf


def test_each_list_without_a_change_doubles_the_time_of_doubted_watches_up_to_the_usual_one() -> None:
    watches = doubted()
    for seconds in (20, 40, 80, 160, 320):
        assert watches.watch(seconds) == f"{seconds} list"
        watches.list()
    assert watches.watch(15) == "400 watch"  # no list after ten seconds


def test_a_change_after_lists_without_one_makes_watches_short_again() -> None:
    watches = doubted()
    for seconds in (20, 40):
        watches.watch(seconds)
        watches.list()
    watches.watch(80)
    watches.list(missed=True)
    assert watches.watch(20) == "20 list"


def test_doubted_watches_that_end_early_are_followed_by_a_list_after_ten_seconds_of_them() -> None:
    watches = doubted()
    assert [watches.watch(4) for _ in range(3)] == ["20 watch", "20 watch", "20 list"]


# The machine around it.


def machine() -> ReflectorMachine:
    made = ReflectorMachine(Backoff(jitter=0), rng=random.Random(1))
    made.next_step()
    made.listed("7", pages=1)
    return made


def steps(machine: ReflectorMachine) -> list[str]:
    found = []
    while True:
        match machine.next_step():
            case WaitStep(seconds, _):
                found.append(f"wait {seconds:g}")
            case ListStep(_, _, reason):
                return [*found, f"list {reason}"]
            case WatchStep(_, seconds):
                return [*found, f"watch {seconds if seconds < 300 else 'long'}"]


def clean(machine: ReflectorMachine, lasted: float) -> KinformerError | None:
    return machine.watch_ended(lasted=lasted)


def reset(machine: ReflectorMachine, lasted: float) -> KinformerError | None:
    machine.watch_failed(StreamBrokenError("reset"), lasted=lasted)
    return None


@pytest.mark.parametrize(("end", "pause"), [(clean, []), (reset, ["wait 0.8"])])
def test_deaf_watches_are_a_failure_from_the_second_list_that_shows_it_to_a_watch_that_works(
    end: Callable[[ReflectorMachine, float], KinformerError | None], pause: list[str]
) -> None:
    deaf = machine()
    assert steps(deaf) == ["watch long"]
    assert end(deaf, 60) is None
    assert steps(deaf) == [*pause, "list silent watches"]
    assert deaf.listed("8", pages=1, missed=True) is None
    for version in ("9", "10", "11"):
        assert steps(deaf) == ["watch 20"]
        end(deaf, 20)
        assert steps(deaf) == [*pause, "list silent watches"]
        assert isinstance(deaf.listed(version, pages=1, missed=True), ProtocolError)
        assert deaf.failures
    assert deaf.well_after > 25
    assert steps(deaf) == ["watch 20"]
    assert deaf.progressed("12", since_opening=0.1)  # what was missed
    assert deaf.failures
    assert deaf.progressed("13", since_opening=5)
    clean(deaf, 20)
    assert not deaf.failures
    assert deaf.well_after == 1
    assert steps(deaf) == ["watch long"]


def test_watches_that_hold_changes_back_are_a_failure_without_lists() -> None:
    deaf = machine()
    steps(deaf)
    for version, lasted in (("8", 60), ("9", 20), ("10", 20)):
        deaf.progressed(version, since_opening=lasted)
        error = clean(deaf, lasted)
        assert isinstance(error, ProtocolError if version != "8" else type(None))
        assert steps(deaf) == ["watch 20"]
    assert deaf.failures == 2


def test_watches_that_hold_changes_back_and_break_are_opened_again_after_the_shortest_pause() -> None:
    deaf = machine()
    steps(deaf)
    for version in range(8, 18):
        deaf.progressed(str(version), since_opening=25)
        reset(deaf, 25)
        pause, step = steps(deaf)
        assert pause == "wait 0.8"
        if step == "list failed watches":
            deaf.listed(str(version), pages=1)
            steps(deaf)


def test_deaf_watches_that_end_at_once_are_slowed_down() -> None:
    deaf = machine()
    for version in ("8", "9", "10"):
        steps(deaf)
        clean(deaf, 60)
        steps(deaf)
        deaf.listed(version, pages=1, missed=True)
    steps(deaf)
    clean(deaf, 0.01)
    steps(deaf)
    clean(deaf, 0.01)
    assert steps(deaf)[0].startswith("wait")


def test_a_list_after_a_silent_watch_waits_as_long_as_the_server_asks() -> None:
    asked = machine()
    steps(asked)
    asked.watch_failed(api_error(429, retry_after=9), lasted=30)
    assert steps(asked) == ["wait 9", "list silent watches"]


def test_a_version_that_expires_after_a_silence_is_answered_by_pages() -> None:
    # A streaming list is a watch, and may be as silent.
    expired = ReflectorMachine(Backoff(jitter=0), rng=random.Random(1), streaming=StreamingMemory())
    expired.next_step()
    expired.listed("7", pages=0)
    expired.next_step()
    expired.watch_failed(api_error(410, {"reason": "Expired"}), lasted=60)
    assert steps(expired)[-1] == "list expired"


def test_a_list_after_a_silent_watch_waits_for_the_shortest_pause_after_failures() -> None:
    failing = machine()
    for _ in range(2):
        steps(failing)
        reset(failing, 0.1)
    steps(failing)
    reset(failing, 26)
    assert steps(failing) == ["wait 0.8", "list silent watches"]
