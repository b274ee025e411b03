"""Exec plugins: run when needed, renewed in time, and never left behind."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.config import ClusterConfig, _exec
from kinformer.config._credentials import ExecCredentials
from kinformer.config._exec import ExecCredential, ExecPlugin
from kinformer.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

V1 = "client.authentication.k8s.io/v1"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def answer(**status: Any) -> str:
    return json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status})


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def plugin(
    command: str, *, cluster: dict[str, Any] | None = None, base: Path | None = None, **section: Any
) -> ExecPlugin:
    full = {"apiVersion": V1, "command": command, "interactiveMode": "Never", **section}
    return ExecPlugin.from_kubeconfig(full, where="config: user 'me'", base=base, cluster=cluster or {})


async def test_a_plugin_is_given_its_arguments_its_environment_and_the_cluster(tmp_path: Path) -> None:
    command = script(
        tmp_path / "plugin", f"echo \"$1 $MORE $KUBERNETES_EXEC_INFO\" > {tmp_path}/seen; echo '{answer(token='t')}'"
    )
    made = plugin(
        command, args=["one"], env=[{"name": "MORE", "value": "two"}], provideClusterInfo=True, cluster={"server": "s"}
    )
    assert (await made.run()).token == "t"
    first, second, info = (tmp_path / "seen").read_text().split(" ", 2)
    assert (first, second) == ("one", "two")
    assert json.loads(info) == {
        "apiVersion": V1,
        "kind": "ExecCredential",
        "spec": {"interactive": False, "cluster": {"server": "s"}},
    }


async def test_a_command_with_a_slash_lies_next_to_the_kubeconfig(tmp_path: Path) -> None:
    script(tmp_path / "plugin", f"echo '{answer(token='t')}'")
    assert (await plugin("./plugin", base=tmp_path).run()).token == "t"


async def test_a_plugin_may_hand_out_a_certificate_and_a_time_to_live(tmp_path: Path) -> None:
    text = answer(clientCertificateData=PEM, clientKeyData=PEM, expirationTimestamp="2000-01-01T00:00:00Z").replace(
        "\\n", "\\\\n"
    )
    command = script(tmp_path / "plugin", f"printf '%b' '{text}'")
    credential = await plugin(command).run()
    assert (credential.certificate, credential.key, credential.token) == (PEM, PEM, "")
    assert credential.lifetime is not None
    assert credential.lifetime < 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("echo hunter2 >&2; exit 3", "ended with exit code 3; run it in a terminal to see its messages"),
        ("head -c 2000000 /dev/zero", "wrote more than 1 MiB to its standard output"),
        ("yes hunter2", "wrote more than 1 MiB to its standard output"),
        ("printf '{\"x\":'; head -c 100000 /dev/zero | tr '\\0' '['", "did not answer with JSON"),
        ("printf '\\377\\376{}'", "did not answer with JSON"),
        (f"echo '{answer(token=['hunter2'])}'", "an ExecCredential whose fields have the right types"),
        (f"echo '{answer(token=5)}'", "an ExecCredential whose fields have the right types"),
        (f"echo '{answer(token='t', expirationTimestamp=1893456000)}'", "whose fields have the right types"),
        ("echo hunter2", "did not answer with JSON"),
        ("echo '{}'", "did not answer with an ExecCredential that has a status"),
        (f"echo '{answer(token='')}'", "handed out neither a token nor a certificate"),
        (f"echo '{answer(clientCertificateData='x')}'", "handed out a certificate without a key"),
        (f"echo '{answer(token='t', expirationTimestamp='soon')}'", "an expirationTimestamp that is no RFC 3339 time"),
        (
            f"echo '{answer(token='t').replace('/v1', '/v1beta1')}'",
            "answered in another apiVersion than 'client.authentication.k8s.io/v1'",
        ),
    ],
)
async def test_a_plugin_that_fails_is_named_with_the_reason(tmp_path: Path, text: str, says: str) -> None:
    command = script(tmp_path / "plugin", text)
    with pytest.raises(ConfigError) as caught:
        await plugin(command).run()
    assert str(caught.value).startswith(f"config: user 'me': exec plugin {command!r} ")
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_a_plugin_that_is_not_installed_shows_its_hint() -> None:
    with pytest.raises(
        ConfigError, match="exec plugin 'no-such-plugin' cannot be run: No such file .*Install it with apt"
    ):
        await plugin("no-such-plugin", installHint="Install it with apt").run()
    with pytest.raises(ConfigError, match="is it installed, and in PATH"):
        await plugin("no-such-plugin").run()


async def test_a_plugin_that_needs_a_terminal_is_not_run_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_exec, "_at_terminal", lambda: False)
    with pytest.raises(ConfigError, match="needs a terminal"):
        await plugin("anything", interactiveMode="Always").run()


def alive(pid: int) -> bool:
    from pathlib import Path

    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


async def dies(pid: int) -> None:
    """Wait until a process is gone: killed at once, it may be a moment until init has taken note of it."""
    async with asyncio.timeout(30):
        while alive(pid):
            await asyncio.sleep(0.01)


def with_a_child(place: Path) -> str:
    """A program that starts another, says which, and waits for it."""
    return f"sleep 1000 & echo $! > {place}/child.tmp; mv {place}/child.tmp {place}/child; wait"


async def test_a_plugin_that_hangs_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_exec, "TIME_LIMIT", 0.3)
    command = script(tmp_path / "plugin", f"sleep 1000 & echo $! > {tmp_path}/child; wait")
    with pytest.raises(ConfigError, match=r"did not answer within 0\.3 seconds"):
        await plugin(command).run()
    await dies(int((tmp_path / "child").read_text()))


async def test_a_cancelled_run_leaves_no_process_behind(tmp_path: Path) -> None:
    command = script(tmp_path / "plugin", with_a_child(tmp_path))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(plugin(command).run())
        while not (tmp_path / "child").exists():  # another process writes it
            await asyncio.sleep(0.01)
        running.cancel()
    await dies(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize("turns", range(12))
async def test_a_run_can_be_cancelled_at_any_moment_also_while_its_process_starts(tmp_path: Path, turns: int) -> None:
    command = script(tmp_path / "plugin", with_a_child(tmp_path))
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(plugin(command).run())
        for _ in range(turns):
            # The process gets ahead of the loop, as it does under load.
            until = time.perf_counter() + 0.01
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0)
        running.cancel()
    if (tmp_path / "child").exists():
        await dies(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize("times", [2, 3, 5])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4, 6, 10])
async def test_a_run_that_is_cancelled_several_times_leaves_no_process_behind(
    tmp_path: Path, turns: int, times: int
) -> None:
    command = script(tmp_path / "plugin", with_a_child(tmp_path))
    async with asyncio.timeout(20):
        running = asyncio.get_running_loop().create_task(plugin(command).run())
        for _ in range(turns):
            await asyncio.sleep(0)
        for _ in range(times):
            running.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await running
        while command in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout:  # noqa: ASYNC221 - nothing else runs
            await asyncio.sleep(0.05)  # the processor may be late with the end of what was killed


async def test_a_process_that_a_plugin_leaves_behind_neither_delays_the_answer_nor_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_exec, "DRAIN_LIMIT", 0.1)
    command = script(tmp_path / "plugin", f"sleep 1000 & echo $! > {tmp_path}/child; echo '{answer(token='t')}'")
    async with asyncio.timeout(20):
        assert (await plugin(command).run()).token == "t"
    await dies(int((tmp_path / "child").read_text()))


async def test_an_answer_in_yaml_is_understood_as_it_is_by_client_go(tmp_path: Path) -> None:
    text = f"apiVersion: {V1}\\nkind: ExecCredential\\nstatus: {{token: t}}\\n"
    assert (await plugin(script(tmp_path / "plugin", f"printf '%b' '{text}'")).run()).token == "t"


def test_the_question_of_a_plugin_is_seen_at_a_terminal_and_its_answer_is_read(tmp_path: Path) -> None:
    command = script(
        tmp_path / "plugin",
        f"printf 'MFA code: ' >&2; read code; test \"$code\" = 123 || exit 1; echo '{answer(token='t')}'",
    )
    program = (
        "import asyncio\n"
        "from kinformer.config._exec import ExecPlugin\n"
        f"section = {{'apiVersion': {V1!r}, 'command': {command!r}, 'interactiveMode': 'IfAvailable'}}\n"
        "plugin = ExecPlugin.from_kubeconfig(section, where='user', base=None, cluster={})\n"
        "print('token', asyncio.run(plugin.run()).token)\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - another process
        os.execv(sys.executable, [sys.executable, "-c", program])
    seen = b""
    try:
        while b"MFA code: " not in seen:
            seen += os.read(terminal, 1000)
        os.write(terminal, b"123\n")
        while b"token t" not in seen:
            seen += os.read(terminal, 1000)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


async def test_an_interactive_plugin_has_ten_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_exec, "_at_terminal", lambda: True)
    monkeypatch.setattr(_exec, "INTERACTIVE_TIME_LIMIT", 0.3)
    with pytest.raises(ConfigError, match=r"did not answer within 0\.3 seconds"):
        await plugin(script(tmp_path / "plugin", "exec sleep 1000"), interactiveMode="IfAvailable").run()


async def test_nothing_that_a_plugin_is_given_or_writes_gets_into_its_repr() -> None:
    made = plugin("x", args=["--client-secret", "hunter2"], env=[{"name": "A", "value": "hunter2"}])
    assert "hunter2" not in repr(made)


class Scripted:
    """Stands for a plugin's process: hands out what it is told to, and counts."""

    where = "config: user 'me'"

    def __init__(self, lifetime: float | None) -> None:
        self.lifetime = lifetime
        self.runs = 0
        self.fails = False

    async def run(self) -> ExecCredential:
        self.runs += 1
        if self.fails:
            raise ConfigError("the plugin failed")
        return ExecCredential(f"t{self.runs}", "", "", self.lifetime)


async def now(credentials: ExecCredentials) -> str:
    return (credentials.current() or await credentials.renew()).authorization


@pytest.mark.looptime
async def test_a_token_is_renewed_a_minute_before_it_expires() -> None:
    source = Scripted(900)
    credentials = ExecCredentials(source)  # type: ignore[arg-type]  # stands for a process
    assert await now(credentials) == "Bearer t1"
    await asyncio.sleep(839)
    assert await now(credentials) == "Bearer t1"
    await asyncio.sleep(1)
    assert await now(credentials) == "Bearer t2"


@pytest.mark.looptime
async def test_a_short_lived_token_is_renewed_when_a_fifth_of_its_life_is_left() -> None:
    source = Scripted(100)
    credentials = ExecCredentials(source)  # type: ignore[arg-type]  # stands for a process
    await now(credentials)
    await asyncio.sleep(79)
    assert await now(credentials) == "Bearer t1"
    await asyncio.sleep(1)
    assert await now(credentials) == "Bearer t2"


@pytest.mark.looptime
async def test_a_credential_that_has_expired_already_does_not_start_a_plugin_for_each_request() -> None:
    source = Scripted(-100)
    credentials = ExecCredentials(source)  # type: ignore[arg-type]  # stands for a process
    assert [await now(credentials) for _ in range(20)] == ["Bearer t1"] * 20
    await asyncio.sleep(1)
    assert await now(credentials) == "Bearer t2"


@pytest.mark.looptime
async def test_a_token_without_an_end_is_kept_until_it_is_refused() -> None:
    credentials = ExecCredentials(Scripted(None))  # type: ignore[arg-type]  # stands for a process
    assert await now(credentials) == "Bearer t1"
    await asyncio.sleep(10**6)
    assert await now(credentials) == "Bearer t1"
    assert (await credentials.renew(refused=True)).authorization == "Bearer t2"


@pytest.mark.looptime
async def test_a_plugin_that_fails_in_time_is_asked_again_while_the_old_token_is_good(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Scripted(900)
    credentials = ExecCredentials(source)  # type: ignore[arg-type]  # stands for a process
    await now(credentials)
    source.fails = True
    await asyncio.sleep(840)
    assert await now(credentials) == "Bearer t1"
    assert await now(credentials) == "Bearer t1"
    assert source.runs == 2
    await asyncio.sleep(10)
    assert await now(credentials) == "Bearer t1"
    assert source.runs == 3
    await asyncio.sleep(50)
    with pytest.raises(ConfigError, match="the plugin failed"):
        await now(credentials)
    assert [record.getMessage() for record in caplog.records] == [
        "credentials could not be renewed, those in use are still good for a while: the plugin failed"
    ] * 2


async def test_a_kubeconfig_with_a_plugin_runs_it_when_it_is_first_needed(tmp_path: Path) -> None:
    command = script(tmp_path / "plugin", f"echo run >> {tmp_path}/runs; echo '{answer(token='t')}'")
    config = ClusterConfig.from_dict(
        {
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": "https://x"}}],
            "users": [
                {"name": "u", "user": {"exec": {"apiVersion": V1, "command": command, "interactiveMode": "Never"}}}
            ],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
    )
    assert not (tmp_path / "runs").exists()
    assert config.credentials.current() is None
    assert (await config.credentials.renew()).authorization == "Bearer t"
    assert config.credentials.current() is not None
    assert (tmp_path / "runs").read_text() == "run\n"
