"""`kinformer proxy`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import asyncio
import signal
import stat
from typing import TYPE_CHECKING

import pytest

from kinformer import Client, ClusterConfig
from tests.cli.conftest import start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome, Served

    Run = Callable[..., Outcome]


@pytest.mark.parametrize("how", ["socket", "loopback"])
def test_a_proxy_serves_until_it_is_ended(served: Served, tmp_path: Path, how: str) -> None:
    socket, kubeconfig = tmp_path / "s", tmp_path / "kc"
    where = [f"unix:{socket}"] if how == "socket" else ["127.0.0.1:0", "--write-kubeconfig", str(kubeconfig)]
    process = start("proxy", "pods,namespaces", "--server", served.url, "--listen", *where)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("proxy of pods, namespaces at ")
        assert process.stdout.readline() == "the caches are in sync\n"

        async def read() -> int:
            config = ClusterConfig.for_socket(socket) if how == "socket" else await ClusterConfig.load(kubeconfig)
            async with Client(config) as client:
                return len(await client.list("namespaces"))

        assert asyncio.run(read()) > 0
        if how == "loopback":
            assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (143, "")
    assert not socket.exists()


def test_command_lines_that_make_no_sense_are_refused(tmp_path: Path, kinformer: Run) -> None:
    there = f"unix:{tmp_path / 's'}"
    kubeconfig = str(tmp_path / "kc")
    for arguments, reason in (
        (["--listen", there], "name at least one resource"),
        (["pods", "--listen", "0.0.0.0:8001"], "on a loopback address or on a Unix socket only"),
        (["pods", "--listen", "127.0.0.1:0"], "--write-kubeconfig FILE names the file"),
        (["pods", "--listen", there, "--write-kubeconfig", kubeconfig], "goes with --listen 127.0.0.1:PORT"),
    ):
        outcome = kinformer("proxy", *arguments)
        assert outcome.code == 2
        assert reason in outcome.err
        assert outcome.err.count("\n") == 1


def test_a_file_of_another_program_is_left_alone(tmp_path: Path, kinformer: Run) -> None:
    precious = tmp_path / "config"
    precious.write_text("clusters: [{name: production}]\n")
    outcome = kinformer("proxy", "pods", "--listen", "127.0.0.1:0", "--write-kubeconfig", str(precious))
    assert outcome.code == 2
    assert "was not written by kinformer" in outcome.err
    assert precious.read_text() == "clusters: [{name: production}]\n"
