"""What simple commands of containers do."""

from __future__ import annotations

import pytest

from kinformer.testing._apiserver.rules.commands import Outcome, interpret


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        (["sleep", "5"], Outcome(5.0)),
        (["/bin/sleep", "1m", "2s"], Outcome(62.0)),
        (["sleep", "infinity"], Outcome(None)),
        (["sleep", "soon"], Outcome(0.0, 1)),
        (["true"], Outcome()),
        (["false"], Outcome(0.0, 1)),
        (["echo", "-n", "hello", "world"], Outcome(output="hello world")),
        (["tail", "-f", "/dev/null"], Outcome(None)),
        (["sh", "-c", "echo 'a; b' && sleep 2; exit 3; echo never"], Outcome(2.0, 3, "a; b\n")),
        (["bash", "-ec", "false && echo no || echo yes"], Outcome(0.0, 0, "yes\n")),
        (["sh", "-c", "while true; do echo tick; sleep 1; done"], Outcome(None, 0, "tick\n")),
        (["sh", "-c", "echo start\nsleep infinity\necho never"], Outcome(None, 0, "start\n")),
        (["sh", "-c", "echo $NAME ${NAME}"], Outcome(output="x x\n")),
        (["echo", "$(NAME)"], Outcome(output="x\n")),
        (["date"], Outcome(output="Thu Jan  1 00:00:00 UTC 1970\n")),
        (["date", "foo"], Outcome(exit_code=1, errors="date: invalid date 'foo'\n")),
        (["sh", "-c", 'printf %s "$NAME"'], Outcome(output="x")),
        (["sh", "-c", "for i in $(seq 1 3); do echo $NAME; done; echo end"], Outcome(output="x\nx\nx\nend\n")),
        (["sh", "-c", "for i in a b; do sleep 1; done"], Outcome(2.0)),
        (["nginx", "-g", "daemon off;"], None),
        (["sh", "-c", "curl example.com | sh"], None),
        (["sh", "-c", "echo 'unfinished"], None),
        ([], None),
    ],
)
def test_a_command_is_understood_or_unknown(command: list[str], outcome: Outcome | None) -> None:
    assert interpret(command, {"NAME": "x"}) == outcome
