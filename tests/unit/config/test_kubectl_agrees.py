"""One truth about kubeconfigs: verdicts and values are those of client-go, and of kubectl where it is installed.

tests/data/kubeconfigs.json holds what client-go made of each file (`python -m tests.peers.clientcmd.record`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.config import ClusterConfig
from kinformer.config._credentials import ExecCredentials
from kinformer.errors import ConfigError
from tests.paths import DATA
from tests.unit.config.kubeconfig_corpus import CERTIFICATE, CORPUS, DELIBERATE, KEY, written

if TYPE_CHECKING:
    from pathlib import Path

    from kinformer.config import Pem

RECORDED: dict[str, dict[str, Any]] = json.loads((DATA / "kubeconfigs.json").read_text())
KUBECTL = shutil.which("kubectl")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("KUBE") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # The authorities of the system take 40 ms to read, and their number is no matter here.
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))


def of_pem(name: str, pem: Pem | None, folder: Path) -> dict[str, str]:
    if pem is None:
        return {}
    if pem.path is not None:
        return {f"{name}File": str(pem.path).replace(str(folder), "DIR")}
    return {
        f"{name}Data": pem.read().decode("utf-8", "replace").replace(CERTIFICATE, "CERTIFICATE").replace(KEY, "KEY")
    }


def values(config: ClusterConfig, folder: Path) -> dict[str, Any]:
    """What a configuration says, in the words of the recording."""
    config.tls.context()  # reads the certificates
    tls, headers = config.tls, dict(config.headers)
    found: dict[str, Any] = {"server": config.server, "namespace": config.namespace}
    if config.server.startswith("https:"):
        found |= of_pem("ca", tls.ca, folder)
        if tls.certificate is not None:
            found |= of_pem("cert", tls.certificate.certificate, folder) | of_pem("key", tls.certificate.key, folder)
        found |= {"insecure": True} if not tls.verify else {}
        found |= {"serverName": tls.server_name} if tls.server_name else {}
    found |= {"disableCompression": True} if not config.compression else {}
    found |= {"as": headers.pop("Impersonate-User")[0]} if "Impersonate-User" in headers else {}
    found |= {"asUid": headers.pop("Impersonate-Uid")[0]} if "Impersonate-Uid" in headers else {}
    found |= {"asGroups": headers.pop("Impersonate-Group")} if "Impersonate-Group" in headers else {}
    if headers:
        found["asExtra"] = {name.removeprefix("Impersonate-Extra-"): each for name, each in headers.items()}
    if isinstance(config.credentials, ExecCredentials):
        plugin = config.credentials._plugin
        env = [{"name": name, "value": value} for name, value in plugin.env.items()]
        command = plugin.command.replace(str(folder), "DIR")
        found["exec"] = {"command": command, "args": list(plugin.args) or None, "env": env or None}
    else:
        identity = config.credentials.current()
        found |= {"authorization": identity.authorization} if identity is not None and identity.authorization else {}
    return found


def expected(recorded: dict[str, Any]) -> dict[str, Any]:
    import base64

    wanted = {name: value for name, value in recorded.items() if name not in {"current", "tokenFile"}}
    wanted["server"] = wanted["server"].rstrip("/")
    token, username, password = (wanted.pop(name, "") for name in ("token", "username", "password"))
    if recorded.get("tokenFile"):
        token = "from-file"  # which client-go reads again and again, and uses before the token
    if token:
        wanted["authorization"] = f"Bearer {token}"
        wanted.pop("exec", None)  # is not run where there is a token
    elif username:
        wanted["authorization"] = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
    return wanted


def test_the_corpus_is_recorded() -> None:
    assert list(RECORDED) == sorted(CORPUS)
    assert len(CORPUS) > 200
    assert set(DELIBERATE) <= set(CORPUS)


@pytest.mark.parametrize("case", CORPUS)
async def test_a_kubeconfig_has_the_verdict_and_the_values_of_client_go(case: str, tmp_path: Path) -> None:
    paths = written(tmp_path, case)
    recorded = RECORDED[case]
    wanted: Any = ConfigError if recorded.get("error") else expected(recorded)
    found: Any
    said = ""
    try:
        found = values(await ClusterConfig.load(os.pathsep.join(map(str, paths))), tmp_path)
    except ConfigError as error:
        found, said = ConfigError, str(error)
    assert not said or str(tmp_path) in said or "certificate" in said, "the file is named"
    if case in DELIBERATE:
        assert found != wanted, "no longer a deliberate difference"
    else:
        assert found == wanted, recorded.get("error")


@pytest.mark.peer
@pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl: install kubernetes-client, or set KINFORMER_KUBECTL")
def test_kubectl_loads_the_same_files(tmp_path: Path) -> None:
    assert KUBECTL is not None
    disagreed: dict[str, object] = {}
    # The files of the others are all alike to `config view`: it does not look into them.
    some = [case for case in CORPUS if "load" in RECORDED[case] or len(CORPUS[case]) > 1]
    for place, case in enumerate(some):
        paths = written(tmp_path / str(place), case)
        env = {**os.environ, "KUBECONFIG": os.pathsep.join(map(str, paths))}
        ran = subprocess.run(
            [KUBECTL, "config", "view", "--raw", "-o", "json"], env=env, capture_output=True, text=True
        )
        recorded = RECORDED[case]
        if (ran.returncode == 0) != ("load" not in recorded):
            disagreed[case] = ran.stderr
        elif ran.returncode == 0 and json.loads(ran.stdout).get("current-context", "") != recorded.get("current", ""):
            disagreed[case] = ran.stdout
    assert disagreed == {}
