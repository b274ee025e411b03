"""`kinformer serve-api` as a service for tests: several servers, TLS, and objects to begin with."""

from __future__ import annotations

import asyncio
import base64
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
import yaml
from cryptography import x509

from kinformer import Client, ClusterConfig, ForbiddenError
from kinformer.cli._serve import ServePlan
from kinformer.cli._session import UsageProblem
from kinformer.resources import CONFIGMAPS
from kinformer.testing import build
from tests.cli.conftest import start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]


def lines_of(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(count)]


def ended(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    return process.returncode


def test_several_servers_share_nothing(tmp_path: Path) -> None:
    process = start("serve-api", "--instances", "3", "--write-kubeconfig", str(tmp_path / "kc"))
    try:
        lines = lines_of(process, 6)
        assert len({line for line in lines if line.startswith("API server at ")}) == 3

        async def counts() -> list[int]:
            found = []
            for number in range(3):
                config = await ClusterConfig.load(tmp_path / f"kc-{number}")
                async with Client(config) as client:
                    if number == 1:
                        await client.create(CONFIGMAPS, build.config_map("a"))
                    found.append(len(await client.list(CONFIGMAPS)))
            return found

        assert asyncio.run(counts()) == [0, 1, 0]
    finally:
        assert ended(process) == 143


def test_with_tls_the_certificate_of_the_kubeconfig_decides(tmp_path: Path) -> None:
    objects, kubeconfig = tmp_path / "objects.yaml", tmp_path / "kc"
    objects.write_text(yaml.safe_dump(build.config_map("a")))
    process = start("serve-api", "--tls", "--load", str(objects), "--write-kubeconfig", str(kubeconfig))
    try:
        url = lines_of(process, 2)[0].split()[-1]
        assert url.startswith("https://")

        async def names(config: ClusterConfig) -> list[str]:
            async with Client(config) as client:
                return [one.name for one in await client.list(CONFIGMAPS)]

        assert asyncio.run(names(asyncio.run(ClusterConfig.load(kubeconfig)))) == ["a"]
        encoded = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["client-certificate-data"]
        certificate = x509.load_pem_x509_certificate(base64.b64decode(encoded))
        # Java reads no certificate with an empty list of names.
        assert len(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == 1
        with pytest.raises(ForbiddenError, match="system:anonymous"):
            asyncio.run(names(ClusterConfig.for_server(url, verify=False)))
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(url, context=ssl.create_default_context())
    finally:
        assert ended(process) == 143


def test_command_lines_that_make_no_sense_are_refused(tmp_path: Path, kinformer: Run) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("kind: Nothing")
    outcome = kinformer("serve-api", "--load", str(broken))
    assert (outcome.code, "has no metadata.name" in outcome.err) == (2, True)
    with pytest.raises(UsageProblem, match="one server without TLS"):
        ServePlan(demo=True, instances=2)
    with pytest.raises(UsageProblem, match="leave --kubernetes out"):
        ServePlan(demo=True, kubernetes="1.37")
    outcome = kinformer("serve-api", "--kubernetes", "1.35")
    assert (outcome.code, "choose one of 1.36, 1.37" in outcome.err) == (2, True)
    with pytest.raises(UsageProblem, match="there are no 20 ports"):
        ServePlan(port=65_530, instances=20)


def test_a_taken_port_is_refused_before_any_server_listens(tmp_path: Path, kinformer: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        arguments = ["--port", str(port - 1), "--instances", "2", "--write-kubeconfig", str(tmp_path / "kc")]
        outcome = kinformer("serve-api", *arguments)
    assert outcome.code == 1
    # The port before it may be taken by chance.
    assert "--port 0 takes any free port" in outcome.err
    assert outcome.out == ""
    assert [*tmp_path.iterdir()] == []


def test_it_starts_without_the_certificates_of_the_system() -> None:
    program = (
        "import kinformer.cli._serve, aiohttp.connector\n"
        "contexts = [aiohttp.connector._SSL_CONTEXT_VERIFIED, aiohttp.connector._SSL_CONTEXT_UNVERIFIED]\n"
        "print(sum(context.cert_store_stats()['x509'] for context in contexts))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "0\n"


def test_a_file_that_cannot_be_written_is_named_without_a_number_of_an_error(kinformer: Run, tmp_path: Path) -> None:
    wanted = tmp_path / "nowhere" / "kc"
    outcome = kinformer("serve-api", "--port", "0", "--write-kubeconfig", str(wanted))
    assert outcome.code == 1
    assert outcome.err == f"kinformer: {wanted}: No such file or directory\n"
