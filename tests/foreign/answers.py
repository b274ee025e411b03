"""Commands of a client, run one after another: their exit codes, and their texts without random parts."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinformer.testing import ApiServer, ControlPlane
from tests.paths import DATA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Answer", "Commands", "show"]

_LONGEST: Final = 60.0  # seconds

_RANDOM: Final = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uid>"),
    (re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w+ 20\d\d \d\d:\d\d:\d\d \+0000"), "<time>"),
    (re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} [ \d]\d \d\d:\d\d:\d\d 20\d\d"), "<time>"),
    (re.compile(r'resourceVersion: "\d+"|"resourceVersion": ?"\d+"|Resource Version: +\d+'), "<version>"),
    (re.compile(r"(resource version to be 1, was) \d+"), "\\1 <version>"),
    (re.compile(r"\bgen-[bcdfghjklmnpqrstvwxz2456789]{5}\b"), "<name>"),
    (re.compile(r"\b10\.\d+\.\d+\.\d+\b"), "<ip>"),
    (re.compile(r"https?://127\.0\.0\.1:\d+|127\.0\.0\.1:\d+"), "<server>"),
    (re.compile(r"\b\d+(ms|s)\b"), "<age>"),
    (re.compile(r"/tmp/\S+"), "<file>"),
    (re.compile(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000( UTC)?"), "<time>"),
    (re.compile(r"\bdebugger-\w{5}\b"), "<name>"),
    (re.compile(r":3\d{4}/(TCP|UDP)"), ":<port>/\\1"),
    (re.compile(r"eyJ[\w.-]+"), "<token>"),
    (re.compile(r"^[EIW]\d{4} .*\n", re.MULTILINE), ""),
    (re.compile(r"[ \t]+"), " "),
)


class Answer(NamedTuple):
    """The end of a command.

    Attributes:
        code: its exit code.
        output: its standard output.
        errors: its standard error.
    """

    code: int
    output: str
    errors: str


class Commands(NamedTuple):
    """A sequence of commands of one client.

    Attributes:
        name: that of the client, or of a part of its commands.
        program: its file.
        commands: each command, as a shell would split it, with the text of its standard input.
        folder: the folder that they run in; "" for an empty one.
    """

    name: str
    program: str
    commands: tuple[tuple[str, str], ...]
    folder: str = ""

    @property
    def file(self) -> Path:
        """The answers that a real server gave."""
        return DATA / f"{self.name}-1.36.json"

    def kept(self) -> dict[str, Answer]:
        """Return the answers of a real server."""
        return {command: Answer(*answer) for command, answer in json.loads(self.file.read_text()).items()}

    async def record(self) -> None:
        """Run the commands against a real server, and keep its answers."""
        async with ControlPlane() as plane:
            authority = {"certificate-authority": str(plane.ca_file)}
            answers = await self.run(_kubeconfig(plane.url, token=plane.token, **authority))
        self.file.write_text(json.dumps(answers, indent=0, ensure_ascii=False) + "\n")

    async def embedded(self, **options: Any) -> dict[str, Answer]:
        """Run the commands against an embedded server."""
        async with ApiServer(**options) as server:
            return await self.run(_kubeconfig(server.url))

    async def run(self, kubeconfig: dict[str, Any]) -> dict[str, Answer]:
        """Run the commands; return the answers by number and command."""
        answers: dict[str, Answer] = {}
        with tempfile.TemporaryDirectory() as home:
            path = Path(home) / "config"
            path.write_text(json.dumps(kubeconfig))
            environment = os.environ | {"KUBECONFIG": str(path), "HOME": home, "KUBECTL_EXTERNAL_DIFF": "diff -N -U0"}
            for number, (command, given) in enumerate(self.commands):
                arguments = [self.program, *shlex.split(command)]
                found = await _answer(arguments, environment, given, self.folder or home)
                answers[f"{number}: {command}"] = found
        return answers


def show(theirs: Mapping[str, Answer], ours: Mapping[str, Answer]) -> None:
    """Print the answers that differ."""
    for command, answer in theirs.items():
        if answer != ours[command]:
            print(f"== {command}\n-- real {answer.code}\n{answer.output}{answer.errors}", end="")
            print(f"-- embedded {ours[command].code}\n{ours[command].output}{ours[command].errors}")


async def _answer(command: Sequence[str], environment: Mapping[str, str], given: str, folder: str) -> Answer:
    """Run a command; one that does not end in time is killed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=dict(environment),
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(given.encode()), _LONGEST)
    except TimeoutError:
        process.kill()
        await process.wait()
        output, errors = b"", b"<no end>"
    return Answer(process.returncode or 0, *(_plain(text.decode(errors="replace")) for text in (output, errors)))


def _plain(text: str) -> str:
    """A text of a client with marks in place of names, times, ages and addresses."""
    for pattern, replacement in _RANDOM:
        text = pattern.sub(replacement, text)
    return text


def _kubeconfig(url: str, **extra: Any) -> dict[str, Any]:
    """A kubeconfig for a server; `token` is that of the user, the rest belongs to the cluster."""
    token = extra.pop("token", "")
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url, **extra}}],
        "users": [{"name": "u", "user": {"token": token} if token else {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
