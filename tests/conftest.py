"""What every test needs."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.entropy import deterministic_PRNG

from tests import storages
from tests.sources import FakeSource

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from kinformer.cache.storage import Storage


# How long an example takes depends on the other work of the machine, so no example has a deadline. The examples are the
# same in each run; `--hypothesis-profile random` draws others, as `make soak` does.
settings.register_profile("random", deadline=None)
settings.register_profile("kinformer", deadline=None, derandomize=True, database=None)
settings.load_profile("kinformer")

# Hypothesis also draws constants that it finds in the source of the imported modules. Which ones these are depends on
# the tests that a process has run before, so a seed would not give the same examples twice. And each worker would read
# a thousand files for it.
vars(providers)["_get_local_constants"] = lambda: providers._local_constants


def pytest_xdist_auto_num_workers() -> int:
    """Return the number of processes for `-n auto`: tests wait for subprocesses and timers for half of their time.

    On two cores at rest, 9,299 tests take 5:12 minutes with four processes, 4:09 with five, 4:01 with seven, and 4:09
    with ten. Since they cost less, 9,446 tests take 3:41 with seven.
    """
    return (os.cpu_count() or 1) + 5


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command of the command line sets up logging for its process; each test leaves it as it was."""
    loggers = [logging.getLogger(), logging.getLogger("asyncio")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        if logger.level != level:
            logger.setLevel(level)
        if logger.handlers != handlers:
            logger.handlers[:] = handlers


@pytest.fixture(params=storages.STORAGES)
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """How caches hold their objects. A module that uses it has its tests run once with each storage.

    With compact storage, the loop itself passes events on, as a client does with events that come one at a time.
    """
    kind: Storage = request.param
    storages.use(kind, monkeypatch)
    monkeypatch.setattr(FakeSource, "pushes", kind == "compact")
    return kind


def pytest_configure() -> None:
    """Leave no loop lying about for looptime to find.

    It asks the policy for "the" loop before a test that has none; the policy would make one, which nobody closes.
    """
    asyncio.set_event_loop(None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector away from the imported modules and the collected tests, of which nothing is garbage.

    A worker collects 11,000 tests: with the collector at work, that takes a third more CPU time. Later collections,
    those of the tests among them, walk only over the objects of the tests.
    """
    gc.disable()
    try:
        # Hypothesis looks for the referrers of the generator of random numbers that it makes for the first test. From
        # Python 3.14 on, the collector would not find those that it is kept away from.
        with deterministic_PRNG():
            pass
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say at the end which tests did not run, and what they need."""
    lines = not_run(terminalreporter.stats.get("skipped", []), config.option.markexpr)
    if lines:
        terminalreporter.section("not run here")
        for line in lines:
            terminalreporter.write_line(line)


def not_run(skipped: Iterable[pytest.TestReport], marks: str) -> list[str]:
    """Return a line for each reason of a skip, and one for the real control plane if its tests are deselected."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") for report in skipped if isinstance(report.longrepr, tuple)
    )
    lines = [f"{count} test{'s' if count > 1 else ''}: {reason}" for reason, count in sorted(reasons.items())]
    if marks == "not real":
        lines.append("the tests on a real etcd and kube-apiserver: make test-real (needs Go, or KUBEBUILDER_ASSETS)")
    return lines
