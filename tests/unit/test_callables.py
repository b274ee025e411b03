from __future__ import annotations

import functools
from typing import Any
from unittest import mock

import pytest

from kinformer._callables import check_function


class Handlers:
    def one(self, obj: object) -> None: ...
    def two(self, old: object, new: object) -> None: ...
    def __call__(self, obj: object) -> None: ...


async def coroutine(obj: object, *, log: bool = False) -> None: ...


ONE: list[Any] = [
    lambda obj: None,
    lambda *objs: None,
    lambda obj, x=1: None,
    Handlers().one,
    Handlers(),
    functools.partial(Handlers().two, "old"),
    coroutine,
    print,
    str,
    mock.Mock(),
    [].append,
    {}.get,
]
NOT_ONE: list[Any] = [
    lambda: None,
    lambda old, new: None,
    lambda obj, *, x: None,
    Handlers().two,
    Handlers.one,
    functools.partial(Handlers().one, "obj"),
]


@pytest.mark.parametrize("function", ONE, ids=range(len(ONE)))
def test_a_function_that_can_be_called_so_is_taken(function: Any) -> None:
    check_function("on_add", function, "obj")


@pytest.mark.parametrize("function", NOT_ONE, ids=range(len(NOT_ONE)))
def test_a_function_that_cannot_be_called_so_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match=r"on_add is called with \(obj\), but .* takes \("):
        check_function("on_add", function, "obj")


def test_the_error_names_both_argument_lists() -> None:
    with pytest.raises(TypeError) as error:
        check_function("on_update", lambda old: None, "old", "new")
    assert str(error.value).startswith("on_update is called with (old, new), but ")
    assert str(error.value).endswith("<lambda> takes (old): too many positional arguments")


@pytest.mark.parametrize("thing", [None, 5, "print", [print]])
def test_a_thing_that_is_no_function_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match=rf"map must be a function of \(obj\), not {type(thing).__name__}"):
        check_function("map", thing, "obj")
