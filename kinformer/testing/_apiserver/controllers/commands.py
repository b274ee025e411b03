"""The effects of simple commands in containers: `sleep 5`, `sh -c "echo hello; exit 3"`.

A test needs no image and no process for these. Everything else is unknown, and the pod's script decides.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Outcome", "interpret"]

_SHELLS: Final = {"sh", "bash", "ash", "dash"}
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"([0-9]*\.?[0-9]+)([smhd]?)")
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+)|\((\w+)\))")
_LOOP: Final = re.compile(r"(?:while\s+(?:true|:)|until\s+false)\s*;?\s*do\b(.*)\bdone", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The effect of a command.

    Attributes:
        seconds: how long it runs; `None` for ever.
        exit_code: its exit code.
        output: the text that it prints.
    """

    seconds: float | None = 0.0
    exit_code: int = 0
    output: str = ""


def interpret(command: Sequence[str], environment: Mapping[str, str]) -> Outcome | None:
    """Return the effect of a command with its arguments; `None` if it is not known."""
    if not command:
        return None
    program = command[0].rpartition("/")[2]
    if program in _SHELLS and len(command) > 2 and re.fullmatch(r"-[a-z]*c", command[1]):
        return _script(command[2], environment)
    return _simple([_expanded(word, environment) for word in command])


def _script(text: str, environment: Mapping[str, str]) -> Outcome | None:
    if loop := _LOOP.search(text):
        before = _script(text[: loop.start()], environment) if text[: loop.start()].strip(" ;\n") else Outcome()
        within = _script(loop[1], environment)
        if before is None or within is None:
            return None
        return Outcome(None, 0, before.output + within.output)
    seconds, code, output = 0.0, 0, ""
    for separator, part in _parts(text):
        if (separator == "&&" and code) or (separator == "||" and not code):
            continue
        try:
            words = [_expanded(word, environment) for word in shlex.split(part, comments=True)]
        except ValueError:
            return None
        if not words:
            continue
        if words[:2] == ["set", "-e"] or (words[0] in {"trap", "exec"} and len(words) == 1):
            continue
        done = _simple(words)
        if done is None:
            return None
        output += done.output
        if done.seconds is None:
            return Outcome(None, 0, output)
        seconds += done.seconds
        code = done.exit_code
        if words[0] == "exit":
            break
    return Outcome(seconds, code, output)


def _parts(text: str) -> list[tuple[str, str]]:
    """Split a script at `;`, `&&`, `||` and line breaks outside of quotes."""
    parts, separator, current, quote = [], ";", "", ""
    i = 0
    while i < len(text):
        letter = text[i]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif text[i : i + 2] in {"&&", "||"} or letter in ";\n":
            parts.append((separator, current))
            separator = text[i : i + 2] if text[i : i + 2] in {"&&", "||"} else ";"
            current = ""
            i += len(separator)
            continue
        current += letter
        i += 1
    return [*parts, (separator, current)]


def _simple(words: Sequence[str]) -> Outcome | None:
    if any(word in {"|", ">", ">>", "<", "&", "2>&1"} or word.startswith(("$(", "`", "#(")) for word in words):
        return None
    program, arguments = words[0].rpartition("/")[2], words[1:]
    match program:
        case "true" | ":":
            return Outcome()
        case "false":
            return Outcome(exit_code=1)
        case "pause":
            return Outcome(None)
        case "sleep":
            if arguments and arguments[0] in {"infinity", "inf"}:
                return Outcome(None)
            found = [_DURATION.fullmatch(argument) for argument in arguments]
            if not found or None in found:
                return Outcome(exit_code=1)
            return Outcome(sum(float(one[1]) * _UNITS[one[2]] for one in found if one))
        case "tail" if "/dev/null" in arguments and "-f" in arguments:
            return Outcome(None)
        case "exit":
            return Outcome(exit_code=int(arguments[0]) & 255 if arguments and arguments[0].isdecimal() else 0)
        case "echo":
            bare = [word for word in arguments if word not in {"-n", "-e"}]
            return Outcome(output=" ".join(bare) + ("" if "-n" in arguments else "\n"))
    return None


def _expanded(word: str, environment: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: environment.get(found[1] or found[2] or found[3], ""), word)
