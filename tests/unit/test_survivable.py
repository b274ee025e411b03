"""Which exceptions of foreign code a task survives."""

from __future__ import annotations

import asyncio

import pytest

from kinformer._survivable import is_survivable, text_of
from tests.failures import UnspeakableError, each_kind, foreign


@each_kind
async def test_a_task_survives_every_kind_of_exception_that_it_was_not_meant_for(kind: str) -> None:
    assert is_survivable(foreign(kind))


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
async def test_the_end_of_the_program_is_not_survived(end: type[BaseException]) -> None:
    assert not is_survivable(end())


async def test_the_cancellation_of_the_task_itself_is_not_survived() -> None:
    verdicts = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError as error:
            verdicts.append(is_survivable(error))
            raise

    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
    assert verdicts == [False]


def test_without_a_loop_only_an_exception_is_survived() -> None:
    assert is_survivable(ValueError())
    assert not is_survivable(GeneratorExit())


def test_every_exception_has_a_text() -> None:
    assert text_of(ValueError("five")) == "five"
    assert text_of(UnspeakableError()) == "its text cannot be read"
