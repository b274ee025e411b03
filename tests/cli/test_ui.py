"""`kinformer ui` as a process: what it says, what it serves, and its end."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.cli.conftest import end, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from subprocess import Popen

    from tests.cli.conftest import Outcome, Served


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[tuple[Popen[str], int]]:
    process = start("ui", "--port", "0", *arguments)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        found = re.fullmatch(r"kinformer ui at http://127\.0\.0\.1:(\d+)/ \(Ctrl-C ends it\)\n", said)
        assert found, (said, process.poll())
        yield process, int(found[1])
    finally:
        process.kill()
        process.communicate()


def events(port: int, path: str, until: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200
        text = ""
        while until not in text:
            text += answer.readline().decode()
        return text
    finally:
        connection.close()


def test_it_shows_a_demo_cluster_and_ends_on_ctrl_c() -> None:
    with running("--demo", "--pods", "20") as (process, port):
        assert '"name":"backups.v1.demo.example.com"' in events(port, "/api/overview", "recent")
        assert '"STATUS"' in events(port, "/api/rows?informer=pods.v1", "event: synced")
        assert "ScalingReplicaSet" in events(port, "/api/rows?informer=events.v1", "ScalingReplicaSet")
        # With a page open.
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/api/overview")
        assert connection.getresponse().readline()
        ended = end(process, within=60)
        connection.close()
    assert (ended.code, ended.out, ended.err) == (130, "", "")


def test_it_shows_what_was_asked_for(served: Served) -> None:
    with running("cm", "deploy", "-A", "--server", served.url) as (process, port):
        text = events(port, "/api/overview", "recent")
        assert re.findall(r'"name":"([^"]+)","kind"', text) == ["configmaps.v1", "deployments.v1.apps"]
        assert end(process, signal.SIGTERM, within=60).code == 143
    with running("cm", "-n", "default", "-l", "app=web", "--kubeconfig", str(served.kubeconfig)) as (_, port):
        assert '"name":"configmaps.v1 in default (app=web)"' in events(port, "/api/overview", "recent")


def test_top_shows_it_too(kinformer: Callable[..., Outcome], served: Served) -> None:
    with running("cm", "--server", served.url, "-A") as (_, port):
        outcome = kinformer("top", f"127.0.0.1:{port}", "--once")
        assert (outcome.code, outcome.err) == (0, "")
        assert "configmaps.v1" in outcome.out


def test_it_says_what_is_wrong_in_one_line(kinformer: Callable[..., Outcome], served: Served) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        outcome = kinformer("ui", "cm", "--server", served.url, "--port", port)
        assert (outcome.code, outcome.out) == (1, "")
        assert f"cannot listen on port {port}" in outcome.err
    for arguments, said in (
        (("widgets",), "widgets"),
        (("cm", "-n", "a", "-A"), "give one"),
        (("cm", "-l", "a b"), "label selector"),
        (("nodes", "-n", "a"), "cluster-scoped"),
    ):
        outcome = kinformer("ui", *arguments, "--server", served.url, "--port", "0")
        assert outcome.code in {1, 2}
        assert said in outcome.err
        assert outcome.err.count("\n") == 1


def test_it_says_what_has_to_be_installed() -> None:
    program = (
        "import sys\nsys.modules['uvicorn'] = None\nsys.argv[1:] = ['ui', '--demo']\n"
        "from kinformer.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "kinformer: the command line needs uvicorn; pip install 'kinformer[ui]'\n"
