"""Resources and names as kubectl takes them."""

from __future__ import annotations

import pytest

from kinformer.cli._session import UsageProblem
from kinformer.cli._targets import Target, parse_targets


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pods", [Target("pods")]),
        ("pods,svc", [Target("pods"), Target("svc")]),
        ("pods,pods", [Target("pods")]),
        ("pod web-0 web-1", [Target("pod", ("web-0", "web-1"))]),
        ("pods,svc web", [Target("pods", ("web",)), Target("svc", ("web",))]),
        ("pod/web-0", [Target("pod", ("web-0",))]),
        ("pod/a svc/b pod/c pod/a", [Target("pod", ("a", "c")), Target("svc", ("b",))]),
        ("widgets.v1.example.com/a", [Target("widgets.v1.example.com", ("a",))]),
    ],
)
def test_words_become_resources_and_names(line: str, expected: list[Target]) -> None:
    assert list(parse_targets(line.split(" "))) == expected


@pytest.mark.parametrize("line", ["pods,", ",", "", "pod/", "/a", "pod/a/b", "pod,svc/a", "pod/a svc", "pods  a"])
def test_other_words_are_refused(line: str) -> None:
    with pytest.raises(UsageProblem):
        parse_targets(line.split(" "))
