"""A control plane whose servers fail: with programs that fail, as real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kinformer.testing import Binaries, BinariesNotFoundError, ControlPlane, ControlPlaneError
from kinformer.testing._control_plane.files import ADMIN, Credentials
from kinformer.testing._control_plane.server_process import free_port
from tests.paths import ROOT


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(script)}")
    path.chmod(0o755)
    return path


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without the programs; returns the cache folder."""
    for variable in ("TEST_ASSET_ETCD", "TEST_ASSET_KUBE_APISERVER", "KUBEBUILDER_ASSETS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("kinformer.testing._control_plane.files._KUBEBUILDER", tmp_path / "kubebuilder")
    return tmp_path / "cache" / "kinformer" / "apiserver"


def both(folder: Path) -> Binaries:
    return Binaries(program(folder / "etcd", ""), program(folder / "kube-apiserver", ""))


def test_the_newest_version_in_the_cache_is_found_by_number(nowhere: Path) -> None:
    both(nowhere / "v1.36.9")
    newest = both(nowhere / "v1.36.10")
    assert Binaries.find() == newest


def test_a_build_of_a_newer_release_does_not_change_the_release_that_is_found(nowhere: Path) -> None:
    newer = both(nowhere / "v1.37.2")
    assert Binaries.find() == newer
    usual = both(nowhere / "v1.36.3")
    assert Binaries.find() == usual


def test_a_release_or_a_version_can_be_asked_for_whatever_else_there_is(nowhere: Path, tmp_path: Path) -> None:
    both(tmp_path / "kubebuilder")
    older, newer, other = (both(nowhere / name) for name in ("v1.37.2", "v1.37.10", "v1.3.7"))
    assert (Binaries.find("1.37"), Binaries.find("v1.37.2"), Binaries.find("1.3")) == (newer, older, other)


async def test_a_release_that_is_not_there_is_named_with_what_is_there_and_what_to_do(nowhere: Path) -> None:
    both(nowhere / "v1.36.3")
    with pytest.raises(BinariesNotFoundError, match=r"no etcd of Kubernetes 1.37: .* has v1.36.3.*K8S=1.37"):
        await ControlPlane(version="1.37").start()


@pytest.mark.parametrize("version", ["newest", "1", "1.37.x"])
def test_a_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="no version of Kubernetes"):
        ControlPlane(version=version)


def test_programs_and_a_version_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="leave one out"):
        ControlPlane(version="1.37", binaries=Binaries(Path("etcd"), Path("kube-apiserver")))


def test_kubebuilders_folder_comes_before_the_cache(nowhere: Path, tmp_path: Path) -> None:
    both(nowhere / "v1.36.3")
    assert Binaries.find() != both(tmp_path / "kubebuilder") == Binaries.find()


def test_variables_come_first_each_for_itself(nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both(tmp_path / "kubebuilder")
    assets, single = both(tmp_path / "assets"), program(tmp_path / "elsewhere" / "my-etcd", "")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("TEST_ASSET_ETCD", str(single))
    assert Binaries.find() == Binaries(single, assets.kube_apiserver)


def test_where_there_is_nothing_the_error_says_where_it_looked_and_what_to_do(nowhere: Path) -> None:
    with pytest.raises(BinariesNotFoundError) as caught:
        Binaries.find()
    for said in ("found no etcd", "TEST_ASSET_ETCD", str(nowhere), "setup-envtest use", "make apiserver-assets"):
        assert said in str(caught.value)


def test_a_variable_that_names_nothing_is_an_error_even_if_another_place_has_it(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both(nowhere / "v1.36.3")
    monkeypatch.setenv("TEST_ASSET_KUBE_APISERVER", "/no/such/kube-apiserver")
    with pytest.raises(BinariesNotFoundError, match="TEST_ASSET_KUBE_APISERVER says .*correct or unset it"):
        Binaries.find()


async def test_without_the_programs_nothing_is_started_and_nothing_left(nowhere: Path, on_disk: Path) -> None:
    plane = ControlPlane()
    with pytest.raises(BinariesNotFoundError):
        await plane.start()
    assert made_in(on_disk) == []
    with pytest.raises(RuntimeError, match="not running; use `async with"):
        _ = plane.url


def made_in(place: Path) -> list[Path]:
    return [*place.glob("kinformer-control-plane-*")]


def alive(pid_file: Path) -> bool:
    """Return whether the process runs. One that was killed before it wrote its number left no file, or an empty one."""
    number = pid_file.read_text() if pid_file.exists() else ""
    return number != "" and Path(f"/proc/{number}").exists()


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder for the files of control planes in this test alone."""
    monkeypatch.setattr("kinformer.testing._control_plane.control_plane._IN_MEMORY", tmp_path)
    return tmp_path


async def test_a_server_that_ends_shows_its_last_words(tmp_path: Path, on_disk: Path) -> None:
    etcd = program(tmp_path / "etcd", "print('line 1'); raise SystemExit('the disk is made of cheese')")
    with pytest.raises(ControlPlaneError, match="etcd ended before it was ready") as caught:
        await ControlPlane(binaries=Binaries(etcd, etcd)).start()
    assert "the disk is made of cheese" in str(caught.value)
    assert made_in(tmp_path) == []


async def test_a_server_that_is_never_ready_is_given_up_in_time_and_killed(tmp_path: Path, on_disk: Path) -> None:
    script = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    etcd = program(tmp_path / "etcd", script)
    with pytest.raises(ControlPlaneError, match=r"etcd was not ready within 1 seconds \(start_timeout\)"):
        await ControlPlane(binaries=Binaries(etcd, etcd), start_timeout=1).start()
    assert not alive(tmp_path / "pid")
    assert made_in(tmp_path) == []


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path, on_disk: Path) -> None:
    script = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    etcd = program(tmp_path / "etcd", script)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        starting = group.create_task(ControlPlane(binaries=Binaries(etcd, etcd)).start())
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.01)
        starting.cancel()
    assert not alive(tmp_path / "pid")
    assert made_in(tmp_path) == []


async def test_a_port_that_somebody_took_meanwhile_is_exchanged(tmp_path: Path, on_disk: Path) -> None:
    script = f"""
        import sys
        with open({str(tmp_path / "starts")!r}, "a") as starts:
            print(*sys.argv, file=starts)
        raise SystemExit("bind: address already in use")
        """
    etcd = program(tmp_path / "etcd", script)
    with pytest.raises(ControlPlaneError, match="address already in use"):
        await ControlPlane(binaries=Binaries(etcd, etcd)).start()
    starts = (tmp_path / "starts").read_text().splitlines()
    assert len(starts) == len(set(starts)) == 3
    assert made_in(tmp_path) == []


def test_when_the_test_run_is_killed_its_servers_and_files_go_with_it(tmp_path: Path) -> None:
    script = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    program(tmp_path / "etcd", script)
    run = f"""
        import asyncio
        from pathlib import Path
        from kinformer.testing import Binaries, ControlPlane
        from kinformer.testing._control_plane import control_plane
        control_plane._IN_MEMORY = Path({str(tmp_path)!r})
        etcd = Path({str(tmp_path / "etcd")!r})
        asyncio.run(ControlPlane(binaries=Binaries(etcd, etcd)).start())
        """
    test_run = subprocess.Popen([sys.executable, "-c", textwrap.dedent(run)], cwd=ROOT)
    waiting = 0
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert test_run.poll() is None
        signal.sigtimedwait([], 0.02)
        waiting += 1
        assert waiting < 3000
    folder, pid = next(tmp_path.glob("kinformer-*")), Path(f"/proc/{(tmp_path / 'pid').read_text()}")
    assert pid.exists()
    os.kill(test_run.pid, signal.SIGKILL)
    test_run.wait()
    while pid.exists() or folder.exists():
        signal.sigtimedwait([], 0.02)
        waiting += 1
        assert waiting < 6000, "still there"


def test_users_have_tokens_and_the_administrator_is_one(tmp_path: Path) -> None:
    credentials = Credentials(tmp_path, {"alice": ["dev", "ops"]})
    rows = sorted(line.partition(",")[2] for line in credentials.token_file.read_text().splitlines())
    assert rows == ['alice,alice,"dev,ops"', f'{ADMIN},{ADMIN},"system:masters"']
    assert len({*credentials.tokens.values()}) == 2
    private = [credentials.token_file, credentials.client_certificate("bob", "dev")[1]]
    assert [path.stat().st_mode & 0o777 for path in private] == [0o600, 0o600]


@pytest.mark.parametrize("name", ["", "a,b", 'a"b', "a\nb"])
def test_a_name_that_a_token_file_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a user or a group"):
        Credentials(tmp_path, {name: []})


def test_a_free_port_is_none_that_clients_are_given() -> None:
    assert 20_000 <= free_port() < 32_000
