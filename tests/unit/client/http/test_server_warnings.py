from __future__ import annotations

import logging

import pytest
from multidict import CIMultiDict

from kinformer.client._http.server_warnings import LONGEST_WARNING, MOST_WARNINGS, ServerWarnings, warning_texts
from tests.failures import each_kind, foreign


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ('299 - "unknown field \\"spec.foo\\""', ['unknown field "spec.foo"']),
        ('299 - "a", 299 - "b"', ["a", "b"]),
        ('299 - "a" "Wed, 21 Oct 2015 07:28:00 GMT", 299 - "b"', ["a", "b"]),
        ('299 host:80 "a, b"', ["a, b"]),
        ('199 - "misc", 299 - "b"', ["b"]),
        ('299 - "a\\\\b"', ["a\\b"]),
        ('299 - "\x1b[31mred\x07"', [" [31mred "]),
        ('299 - ""', []),
        ("299 - unquoted", []),
        ('299 - "unfinished', []),
        ("", []),
        ("nonsense", []),
    ],
)
def test_the_texts_of_a_header(value: str, texts: list[str]) -> None:
    assert warning_texts([value]) == texts


def test_several_headers_are_several_warnings() -> None:
    assert warning_texts(['299 - "a"', "x", '299 - "b"']) == ["a", "b"]


def test_number_and_length_of_warnings_are_bounded() -> None:
    many = ", ".join(f'299 - "{number}"' for number in range(1000))
    assert len(warning_texts([many, many])) == MOST_WARNINGS
    assert [len(text) for text in warning_texts([f'299 - "{"x" * 60_000}"'])] == [LONGEST_WARNING]
    escaped = "\\x" * 60_000
    assert [len(text) for text in warning_texts([f'299 - "{escaped}"'])] == [LONGEST_WARNING]


def test_each_text_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    warnings = ServerWarnings(None)
    headers = CIMultiDict([("warning", '299 - "a"'), ("Warning", '299 - "b"')])
    for _ in range(3):
        warnings.received(headers)
    assert caplog.messages == ["the API server warns: a", "the API server warns: b"]


def test_a_function_gets_each_warning_each_time(caplog: pytest.LogCaptureFixture) -> None:
    texts: list[str] = []
    warnings = ServerWarnings(texts.append)
    for _ in range(2):
        warnings.received(CIMultiDict([("Warning", '299 - "a", 299 - "b"')]))
    warnings.received(CIMultiDict([("X-Warning", '299 - "c"')]))
    assert texts == ["a", "b", "a", "b"]
    assert caplog.messages == []


@each_kind
async def test_a_function_that_raises_ends_no_request(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    def raises(text: str) -> None:
        raise foreign(kind)

    with caplog.at_level(logging.ERROR):
        ServerWarnings(raises).received({"Warning": '299 - "a"'})
    assert "on_warning raised" in caplog.text


def test_a_function_of_other_arguments_is_refused() -> None:
    with pytest.raises(TypeError, match=r"on_warning is called with \(text\)"):
        ServerWarnings(lambda: None)  # type: ignore[arg-type, misc]  # that is the point
