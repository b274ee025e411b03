"""The server of a command, and the user that its requests impersonate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kinformer import ClusterConfig, ForbiddenError
from kinformer.cli._connect import ServerChoice, connected, impersonating
from kinformer.cli._session import UsageProblem
from kinformer.proxy import CacheProxy
from kinformer.resources import CONFIGMAPS
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from pathlib import Path


async def test_requests_are_those_of_the_user_that_is_impersonated() -> None:
    async with ApiServer() as server:
        server.deny("alice", "list", "configmaps")
        choice = ServerChoice(server=server.url, as_user="alice", as_groups=("devs",))
        async with connected(choice) as client:
            with pytest.raises(ForbiddenError, match='User "alice" cannot list'):
                await client.list(CONFIGMAPS)
    assert server.requests[-1].user == "alice"


def test_the_user_of_the_command_line_replaces_all_of_the_one_in_the_kubeconfig() -> None:
    headers = {"Impersonate-User": ["bob"], "impersonate-extra-scopes": ["view"], "X-Trace": ["1"]}
    config = ClusterConfig(server="https://a", headers=headers)
    assert impersonating(config, ServerChoice()) is config
    replaced = impersonating(config, ServerChoice(as_user="alice", as_groups=("a", "b")))
    assert replaced.headers == {"X-Trace": ["1"], "Impersonate-User": ["alice"], "Impersonate-Group": ["a", "b"]}


def test_a_group_without_a_user_is_refused() -> None:
    with pytest.raises(UsageProblem, match="--as-group goes with --as"):
        ServerChoice(as_groups=("devs",))


async def test_the_server_may_be_the_socket_of_a_proxy(tmp_path: Path) -> None:
    socket = f"unix:{tmp_path / 's'}"
    async with ApiServer() as server:
        server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
        async with (
            connected(ServerChoice(server=server.url)) as upstream,
            CacheProxy(upstream, [CONFIGMAPS], listen=socket),
            connected(ServerChoice(server=socket)) as client,
        ):
            assert [each.name for each in await client.list(CONFIGMAPS)] == ["a"]


def test_a_socket_without_a_path_or_with_certificates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="names no socket"):
        ServerChoice(server="unix:")
    with pytest.raises(UsageProblem, match="takes no token and no certificates"):
        ServerChoice(server="unix:/run/s", token_file=tmp_path / "token")
