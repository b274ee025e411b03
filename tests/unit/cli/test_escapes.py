"""Output neither drives a terminal nor fails on its encoding."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from kinformer.cli._escapes import escaped, one_line, survive_any_encoding
from kinformer.cli._session import print_error, run_command
from kinformer.errors import ForbiddenError

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x9b5m\x7f\u202egnp.exe\u2066"
CONTROLS = {chr(code) for code in [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]}


def test_no_control_character_is_left() -> None:
    everything = "".join(sorted(CONTROLS))  # in an order where no "\r\n" arises, which is a line break and stays
    assert CONTROLS.intersection(escaped(everything)) == {"\n", "\t"}
    assert CONTROLS.intersection(one_line(everything)) == set()


def test_text_for_people_stays_as_it_is() -> None:
    text = "line\tone\r\nzeile zwei: é 日本 😀 👩\u200d💻 \u00a0\n"
    assert escaped(text) == text


def test_an_escape_is_one_that_json_understands() -> None:
    assert json.loads(escaped(json.dumps(HOSTILE, ensure_ascii=False))) == HOSTILE


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437", "utf-8"])
def test_any_encoding_takes_any_text(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    survive_any_encoding()
    value = "héllo 日本 😀 \udcff"
    print(json.dumps(value, ensure_ascii=encoding == "utf-8"), file=out)
    print(json.dumps("日本 😀", ensure_ascii=False), file=out)
    out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    first, second = out.buffer.getvalue().decode(encoding).splitlines()
    assert (json.loads(first), json.loads(second)) == (value, "日本 😀")


def test_messages_on_standard_error_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(f"no {HOSTILE}")
    assert CONTROLS.intersection(capsys.readouterr().err) == {"\n"}


@pytest.mark.parametrize("verbose", [False, True])
def test_errors_and_logs_and_tracebacks_are_escaped(verbose: bool, capsys: pytest.CaptureFixture[str]) -> None:
    async def command() -> int:
        logging.getLogger("kinformer.test").critical("named %s", HOSTILE)
        raise ForbiddenError(HOSTILE, status=403)

    before = logging.getLogger().handlers[:]
    level = logging.getLogger().level
    try:
        assert run_command(command, verbose=verbose) == 1
    finally:
        logging.getLogger().handlers[:] = before
        logging.getLogger().setLevel(level)
    said = capsys.readouterr().err
    assert "gnp.exe" in said
    assert ("Traceback" in said) is verbose
    assert CONTROLS.intersection(said) == {"\n"}
