"""The effects of simple commands in containers: `sleep 5`, `sh -c "echo hello; exit 3"`, `date`.

A test needs no image and no process for these. Everything else is unknown, and the pod's script decides.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["NOW", "Outcome", "interpret"]

NOW: Final = " now"
"""The name of the variable that holds the time as `date` prints it."""

_Effect: TypeAlias = "Callable[[list[str], Mapping[str, str]], Outcome | None]"

_MOST_ROUNDS: Final = 1000

_SHELLS: Final = {"sh", "bash", "ash", "dash"}
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"([0-9]*\.?[0-9]+)([smhd]?)")
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+)|\((\w+)\))")
_FOR: Final = re.compile(
    r"for\s+\w+\s+in\s+(?:\$\(seq\s+(\d+)\s+(\d+)\)|([\w\s]+?))\s*;\s*do\b(.*?);?\s*done", re.DOTALL
)
_LOOP: Final = re.compile(r"(?:while\s+(?:true|:)|until\s+false)\s*;?\s*do\b(.*)\bdone", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The effect of a command.

    Attributes:
        seconds: how long it runs; `None` for ever.
        exit_code: its exit code.
        output: the text that it prints.
        errors: the text that it prints as errors.
    """

    seconds: float | None = 0.0
    exit_code: int = 0
    output: str = ""
    errors: str = ""


def interpret(command: Sequence[str], environment: Mapping[str, str]) -> Outcome | None:
    """Return the effect of a command with its arguments; `None` if it is not known."""
    if not command:
        return None
    program = command[0].rpartition("/")[2]
    if program in _SHELLS and len(command) > 2 and re.fullmatch(r"-[a-z]*c", command[1]):
        return _script(command[2], environment)
    return _simple([_expanded(word, environment) for word in command], environment)


def _script(text: str, environment: Mapping[str, str]) -> Outcome | None:
    if loop := _LOOP.search(text):
        before = _script(text[: loop.start()].rstrip(" ;\n"), environment)
        within = _script(loop[1], environment)
        if before is None or within is None:
            return None
        return Outcome(None, 0, before.output + within.output)
    if several := _FOR.search(text):
        first, last, words, body = several.groups()
        count = max(0, int(last) - int(first) + 1) if last else len(words.split())
        repeated = ";".join([body.strip()] * min(count, _MOST_ROUNDS))
        return _script(text[: several.start()] + (repeated or ":") + text[several.end() :], environment)
    seconds, code, output, errors = 0.0, 0, "", ""
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
        done = _simple(words, environment)
        if done is None:
            return None
        output += done.output
        errors += done.errors
        if done.seconds is None:
            return Outcome(None, 0, output, errors)
        seconds += done.seconds
        code = done.exit_code
        if words[0] == "exit":
            break
    return Outcome(seconds, code, output, errors)


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


def _simple(words: Sequence[str], environment: Mapping[str, str]) -> Outcome | None:
    if any(word in {"|", ">", ">>", "<", "&", "2>&1"} or word.startswith(("$(", "`", "#(")) for word in words):
        return None
    program, arguments = words[0].rpartition("/")[2], [*words[1:]]
    effect = _PROGRAMS.get(program)
    return None if effect is None else effect(arguments, environment)


def _sleep(arguments: list[str], _environment: Mapping[str, str]) -> Outcome:
    if arguments and arguments[0] in {"infinity", "inf"}:
        return Outcome(None)
    found = [_DURATION.fullmatch(argument) for argument in arguments]
    if not found or None in found:
        return Outcome(exit_code=1)
    return Outcome(sum(float(one[1]) * _UNITS[one[2]] for one in found if one))


def _exit(arguments: list[str], _environment: Mapping[str, str]) -> Outcome:
    return Outcome(exit_code=int(arguments[0]) & 255 if arguments and arguments[0].isdecimal() else 0)


def _date(arguments: list[str], environment: Mapping[str, str]) -> Outcome:
    if arguments and not arguments[0].startswith(("+", "-")):
        return Outcome(exit_code=1, errors=f"date: invalid date '{arguments[0]}'\n")
    return Outcome(output=environment.get(NOW, "Thu Jan  1 00:00:00 UTC 1970") + "\n")


def _echo(arguments: list[str], _environment: Mapping[str, str]) -> Outcome:
    bare = [word for word in arguments if word not in {"-n", "-e"}]
    return Outcome(output=" ".join(bare) + ("" if "-n" in arguments else "\n"))


def _prints(text: str) -> _Effect:
    return lambda arguments, _environment: Outcome(output=text) if arguments in ([], ["/"]) else None


def _dd(arguments: list[str], _environment: Mapping[str, str]) -> Outcome | None:
    given = dict(argument.partition("=")[::2] for argument in arguments)
    if "of" not in given or not given.keys() <= {"if", "of", "bs", "count"}:
        return None
    count = given.get("count", "1")
    return Outcome(errors=f"{count}+0 records in\n{count}+0 records out\n")


_PROGRAMS: Final[dict[str, _Effect]] = {
    "true": lambda _arguments, _environment: Outcome(),
    ":": lambda _arguments, _environment: Outcome(),
    "false": lambda _arguments, _environment: Outcome(exit_code=1),
    "pause": lambda _arguments, _environment: Outcome(None),
    "sleep": _sleep,
    "exit": _exit,
    "date": _date,
    "dd": _dd,
    "echo": _echo,
    "tail": lambda arguments, _environment: Outcome(None) if {"-f", "/dev/null"} <= {*arguments} else None,
    "printf": lambda arguments, _environment: (
        Outcome(output="".join(arguments[1:])) if arguments[:1] == ["%s"] else None
    ),
    "hostname": lambda _arguments, environment: Outcome(output=environment.get("HOSTNAME", "localhost") + "\n"),
    "uptime": _prints(" 00:00:00 up 1 day,  0 users,  load average: 0.00, 0.00, 0.00\n"),
    "ls": _prints("bin\ndev\netc\nhome\nlib\nproc\nroot\nsys\ntmp\nusr\nvar\n"),
}


def _expanded(word: str, environment: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: environment.get(found[1] or found[2] or found[3], ""), word)
