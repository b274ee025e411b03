"""`kinformer record`, `kinformer replay` and `kinformer bench --replay`."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest

from kinformer import Client, ClusterConfig
from kinformer.cli._durations import seconds_of
from kinformer.cli._replay import speed_of
from kinformer.cli._session import UsageProblem
from kinformer.recordings import Recording
from tests.cli.conftest import start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome, Served

    Run = Callable[..., Outcome]


def test_a_cluster_is_recorded_replayed_and_measured(served: Served, tmp_path: Path, kinformer: Run) -> None:
    path, kubeconfig = tmp_path / "a.kin", tmp_path / "kc"
    recorded = kinformer(
        "record", "namespaces,secrets", "-A", "--for", "100ms", str(path), "--redact", "--server", served.url
    )
    assert recorded.code == 0, recorded.err
    assert str(path) in recorded.out
    assert "lists 2 resources of all namespaces" in recorded.err
    with Recording.open(path) as recording:
        assert recording.header.redacted
        assert len([*recording]) > 3
        assert not recording.truncated

    process = start("replay", str(path), "--speed", "max", "--write-kubeconfig", str(kubeconfig))
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("replay at http://127.0.0.1:")

        async def read() -> int:
            async with Client(await ClusterConfig.load(kubeconfig)) as client:
                return len(await client.list("namespaces"))

        assert asyncio.run(read()) > 0
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143

    measured = kinformer("bench", "namespaces", "--replay", str(path), "--speed", "max", "-o", "json")
    assert measured.code == 0, measured.err
    (figures,) = json.loads(measured.out)["lists"]
    assert figures["objects"] > 0


def test_ctrl_c_leaves_a_complete_file(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "a.kin"
    process = start("record", "namespaces", "-A", str(path), "--server", served.url)
    assert process.stderr is not None
    for line in process.stderr:
        if "all lists are in the file" in line:
            break
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert str(path) in out
    with Recording.open(path) as recording:
        assert len([*recording]) > 2
        assert not recording.truncated


def test_command_lines_that_make_no_sense_are_refused(served: Served, tmp_path: Path, kinformer: Run) -> None:
    there = tmp_path / "there.kin"
    there.write_text("no recording")
    new = str(tmp_path / "new.kin")
    for arguments, code, reason in (
        (["record", str(there), "--server", served.url], 2, "exists already"),
        (["record", new, "--for", "soon", "--server", served.url], 2, "is no duration"),
        (["record", new, "--redact", "--include-secret-data", "--server", served.url], 2, "--redact leaves no data"),
        (["record", "pods", "nonsense", new, "--server", served.url], 1, "nonsense"),
        (["record", new, "pods", "--server", served.url], 2, "the file comes last"),
        (["record", new, str(there), "--server", served.url], 2, "the file comes last"),
        (["record", "pods", "--server", served.url], 2, "pods is the resource pods; name a file behind it"),
        (["record", "services", "po", "--server", served.url], 2, "po is the resource pods; name a file behind it"),
        (["replay", str(there)], 1, "is no recording"),
        (["replay", str(tmp_path)], 1, "is no regular file"),
        (["replay", str(there), "--speed", "0"], 2, "a positive number, or max"),
        (["bench", "--replay", str(there), "--server", served.url], 2, "--replay names the server"),
    ):
        outcome = kinformer(*arguments)
        assert (outcome.code, reason in outcome.err) == (code, True), (arguments, outcome.err)
    assert not (tmp_path / "new.kin").exists()


def test_lists_that_never_come_are_named(served: Served, tmp_path: Path, kinformer: Run) -> None:
    arguments = ["--for", "200ms", "-A", "--server", served.url]
    faults = f"{served.url}/kinformer/faults"
    urlopen(Request(faults, b"fail:status=500,resource=configmaps", method="POST")).close()
    try:
        outcome = kinformer("record", "cm,ns", str(tmp_path / "a.kin"), *arguments)
        assert "not in the file: configmaps: cannot list configmaps in all namespaces: injected fault" in outcome.err
        assert "all lists are in the file" not in outcome.err
        assert outcome.code == 0
        outcome = kinformer("record", "cm", str(tmp_path / "b.kin"), *arguments)
        assert outcome.code == 1
    finally:
        urlopen(Request(faults, method="DELETE")).close()


def test_the_data_of_secrets_is_recorded_with_a_warning_only(served: Served, tmp_path: Path, kinformer: Run) -> None:
    path = tmp_path / "a.kin"
    arguments = ["record", "secrets", "-A", "--for", "50ms", str(path), "--include-secret-data"]
    outcome = kinformer(*arguments, "--server", served.url)
    assert outcome.code == 0
    assert "WARNING" in outcome.err
    with Recording.open(path) as recording:
        assert recording.header.secret_data


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600.0), ("90", 90.0), ("1h30m", 5400.0), ("1.5s", 1.5), ("100ms", 0.1)]
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "m", "10 m", "-1s", "10x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem):
        seconds_of(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast"])
def test_what_is_no_speed_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem):
        speed_of(text)
