"""Kubeconfigs as texts, as single files, and with all of their contexts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kinformer import ClusterConfig, ConfigError

if TYPE_CHECKING:
    from pathlib import Path

TWO = """
clusters:
- {name: a, cluster: {server: "https://a:6443"}}
- {name: b, cluster: {server: "https://b:6443", certificate-authority: ca.crt}}
users:
- {name: u, user: {token: s3cret}}
contexts:
- {name: a, context: {cluster: a, user: u, namespace: shop}}
- {name: b, context: {cluster: b, user: u}}
- {name: c, context: {cluster: nowhere, user: u}}
"""
ONE = TWO.partition("- {name: b, context")[0]
EXEC = ONE.replace("token: s3cret", "exec: {command: /bin/sh, apiVersion: client.authentication.k8s.io/v1, "
                   "interactiveMode: Never}")  # fmt: skip


def test_a_text_with_one_context_needs_no_current_one() -> None:
    config = ClusterConfig.from_text(ONE, source="Secret a/b")
    assert (config.server, config.namespace) == ("https://a:6443", "shop")
    assert "s3cret" not in repr(config)


def test_a_text_with_several_contexts_needs_a_name() -> None:
    with pytest.raises(ConfigError, match=r"Secret a/b: no current-context is set; .*: a, b, c"):
        ClusterConfig.from_text(TWO.encode(), source="Secret a/b")
    assert ClusterConfig.from_text(TWO, "a", source="Secret a/b").server == "https://a:6443"


def test_a_text_names_no_program_unless_it_is_trusted() -> None:
    with pytest.raises(ConfigError, match="exec would start a program or read a file here, which is refused"):
        ClusterConfig.from_text(EXEC, source="Secret a/b")
    assert ClusterConfig.from_text(EXEC, source="Secret a/b", trusted=True).server == "https://a:6443"


def test_a_text_names_no_file_unless_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.crt").write_text("")
    with pytest.raises(ConfigError, match="certificate-authority would start a program or read a file"):
        ClusterConfig.from_text(TWO, "b", source="Secret a/b")
    assert ClusterConfig.from_text(TWO, "b", source="Secret a/b", trusted=True).tls.ca is not None


def test_the_paths_of_a_file_start_from_its_directory(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("")
    (tmp_path / "config").write_text(TWO)
    authority = ClusterConfig.from_file(tmp_path / "config", "b").tls.ca
    assert authority is not None
    assert authority.path == tmp_path / "ca.crt"


async def test_each_context_has_its_configuration_or_its_error(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(TWO)
    found = await ClusterConfig.load_contexts(tmp_path / "config")
    assert isinstance(found["a"], ClusterConfig)
    assert "there is no such file" in str(found["b"])
    assert "there is no cluster 'nowhere'" in str(found["c"])


async def test_without_a_kubeconfig_there_are_no_contexts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no kubeconfig: .*nowhere"):
        await ClusterConfig.load_contexts(tmp_path / "nowhere")
