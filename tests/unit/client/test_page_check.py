"""A list in pages comes to an end, or to an error."""

from __future__ import annotations

import pytest

from kinformer.client._http.limits import REPEATED_PAGES_LIMIT
from kinformer.client._page_check import PageCheck
from kinformer.errors import ProtocolError
from kinformer.listwatch import ListPage
from tests.sources import pod


def page(*names: str) -> ListPage:
    return ListPage([pod(name) for name in names], "5", "", None, [])


def test_continue_tokens_that_go_round_in_a_circle_are_refused() -> None:
    check = PageCheck("list pods")
    for number, token in enumerate("ABC"):
        check.took(page(f"p{number}"))
        check.ended(token)
    check.took(page("p3"))
    with pytest.raises(ProtocolError, match="cannot list pods: the server gives the same page again and again"):
        check.ended("A")


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b"]])
def test_pages_that_bring_nothing_new_are_refused_after_a_thousand(names: list[str]) -> None:
    check = PageCheck("list pods")
    check.took(page("a"))
    check.ended("first")
    for number in range(REPEATED_PAGES_LIMIT):
        check.took(page(*names))
        check.ended(f"t{number}")
    check.took(page(*names))
    with pytest.raises(ProtocolError, match="the list has no end; 1,001 of its pages brought nothing new"):
        check.ended("another")


def test_pages_in_parts_with_some_repetition_and_a_last_page_without_objects_are_fine() -> None:
    check = PageCheck("list pods")
    for number in range(3 * REPEATED_PAGES_LIMIT):
        # What an offset counts again when an object has been added before it.
        check.took(page(f"p{number - number % 4}", f"p{number}"))
        check.took(page(f"p{number}", "a"))
        check.ended(f"t{number}") if number % 4 == 0 else check.ended("")
    check.took(page())
    check.ended("")
