"""Find words and phrases that CONTRIBUTING.md bans from docstrings, comments and messages.

    python -m tests.plain_english kinformer/cache docs/concepts.md ...

Prints each finding with file and line, and exits with 1 if there is one.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

BANNED = (
    # Code and callers are things: they have no gender, and nobody talks to them.
    r"he|him|his|himself|she|her|hers|who|whoever|whom|whomever",
    r"nobody|somebody|anybody|everybody",
    r"told|tell|tells|telling|hear|hears|heard",
    # A clause as a noun hides the subject: name the thing.
    r"what (?:is|was|are|were|has|had|it|they|came|comes|arrives|there|one|goes|went|stays|left)",
    # Words that a reader of technical English does not expect.
    r"lest|wherein|thereof|hitherto|whence|ere|upon|henceforth|aught|naught|nought",
)
_PATTERN = re.compile(r"\b(?:" + "|".join(BANNED) + r")\b", re.IGNORECASE)
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_FIRST_WORDS = re.compile(r"(?:What|Whether|How|Who|Whose|Where|When|Those|Why)\b")


class Finding(NamedTuple):
    """One place that breaks the rule."""

    path: Path
    line: int
    words: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.words!r}"


def in_text(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line offset, words) for each banned phrase of a text; code between backticks is no English."""
    prose = re.sub(r"`[^`\n]*`", lambda match: "`" * len(match.group()), text)
    for match in _PATTERN.finditer(prose):
        yield prose.count("\n", 0, match.start()), match.group()


def in_python(path: Path) -> Iterator[Finding]:
    """Yield the findings in the docstrings, comments and other strings of a Python file."""
    source = path.read_text()
    # Only a line with a number sign has a comment. To find the tokens of a file takes longer than all else.
    if any(_PATTERN.search(line.partition("#")[2]) for line in source.splitlines()):
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                for offset, words in in_text(token.string):
                    yield Finding(path, token.start[0] + offset, words)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            for offset, words in in_text(node.value):
                yield Finding(path, node.lineno + offset, words)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring and (match := _FIRST_WORDS.match(docstring)):
                yield Finding(path, getattr(node, "lineno", 1), f"{match.group()} … (first line)")


def in_markdown(path: Path) -> Iterator[Finding]:
    """Yield the findings in a page, its code blocks left out."""
    text = re.sub(
        r"^```.*?^```", lambda match: "\n" * match.group().count("\n"), path.read_text(), flags=re.MULTILINE | re.DOTALL
    )
    for offset, words in in_text(text):
        yield Finding(path, 1 + offset, words)


def findings(*places: Path) -> Iterator[Finding]:
    """Yield the findings in files and folders, in the order of their names."""
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.suffix == ".py":
                yield from in_python(path)
            elif path.suffix == ".md":
                yield from in_markdown(path)


if __name__ == "__main__":
    found = list(findings(*map(Path, sys.argv[1:])))
    print(*found, sep="\n")
    sys.exit(bool(found))
