"""Writes docs/benchmarks.md from the results."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

from benchmarks import results
from benchmarks.table import Row, markdown, verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from types import ModuleType

    from benchmarks.results import Answer

__all__ = ["explained", "overview", "page", "question_of"]


def explained(module: ModuleType) -> tuple[str, str]:
    """Return the question of a module and its explanation, from its docstring."""
    question, _, rest = (module.__doc__ or "").strip().partition("\n\n")
    question = " ".join(question.removeprefix("Question: ").split())
    return question[:1].upper() + question[1:], rest.strip()


def question_of(name: str) -> str:
    """The question of `benchmarks.NAME`."""
    return explained(importlib.import_module(f"benchmarks.{name}"))[0]


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def overview(answers: dict[str, Answer], order: Sequence[str]) -> str:
    """All that has a target, in one table."""
    lines = ["| question | | measured | target | reached |", "|---|---|--:|--:|---|"]
    for name in order:
        for row in _with_target(answers.get(name)):
            link = f"[{name}](#{_anchor(question_of(name))})"
            lines.append(f"| {link} | {row.what} | {row.value} | {row.target} | {verdict(row)} |")
    return "\n".join(lines)


def _with_target(answer: Answer | None) -> list[Row]:
    """Rows with a target; one that goes on ("… of the scan limit", "the same …") gets the words that it continues."""
    found: list[Row] = []
    base = before = ""
    for row in answer.rows if answer else ():
        if row.what.startswith("…"):
            what = f"{before} {row.what}"
        elif row.what.startswith("the same"):
            what = before = f"{base}, {row.what}"
        else:
            what = before = base = row.what
        if row.target:
            found.append(row._replace(what=what))
    return found


def _section(name: str, answer: Answer | None, newest: str, drawn: Collection[str]) -> str:
    module = importlib.import_module(f"benchmarks.{name}")
    question, text = explained(module)
    command = f"`python -m benchmarks.{name}`"
    if answer is None:
        body = "Not measured yet."
    elif answer.error:
        body = f"Could not be measured: {answer.error}"
    else:
        body = getattr(module, "page", markdown)(answer.rows)
        if answer.commit != newest:
            command += f", measured {answer.at} UTC at {answer.commit or 'no commit'}"
    pictures: dict[str, str] = getattr(module, "PICTURES", {})
    picture = "\n\n".join(f"![{words}](img/{file}.svg)" for file, words in pictures.items() if file in drawn)
    parts = [f"## {question}", text, picture, body, command]
    return "\n\n".join(part for part in parts if part) + "\n"


def page(answers: dict[str, Answer], order: Sequence[str], drawn: Collection[str] = ()) -> str:
    """The whole page; `drawn` are the pictures there are, by the names of their files without the suffix."""
    latest = max((answer for answer in answers.values()), key=lambda answer: answer.at)
    head = f"""# Benchmarks

Measured by `make bench`, which writes this page: {latest.at} UTC at commit {latest.commit or "unknown"},
on {results.machine()}.
{results.versions()}.

Each question runs in its own process, and the server in another. Compared figures are measured in one run: CPU time
(user and system) instead of wall-clock time, and ratios rather than microseconds, which differ between machines. The
project has set the targets itself. A target that is not reached is marked, and the design notes
[0005](design/0005-the-hot-path.md) and [0013](design/0013-what-handlers-that-read-still-cost.md) have the reason. The
scan limit is the time that msgspec needs to skip once over the same bytes, building nothing.

## Every target
"""
    sections = [_section(name, answers.get(name), latest.commit, drawn) for name in order]
    return head + "\n" + overview(answers, order) + "\n\n" + "\n".join(sections)
