"""`--kinformer-rbac=FILE`: writes the least Roles that cover the requests of the tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from kinformer.testing import ApiServer

__all__ = ["add_options", "collect", "from_worker", "write"]

_RIGHTS: Final = pytest.StashKey[set[tuple[str, ...]]]()
_OUTPUT: Final = "kinformer_rbac"


def add_options(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("kinformer")
    group.addoption(
        "--kinformer-rbac",
        metavar="FILE",
        help="Write the least Roles that cover the requests to `kube_api`.",
    )
    group.addoption("--kinformer-rbac-name", metavar="NAME", default="", help="The name of the Roles (the file's).")
    group.addoption("--kinformer-rbac-user", metavar="USER", default="", help="Count the requests of this user only.")


def collect(config: pytest.Config, server: ApiServer) -> None:
    """Remember the rights that the requests to a server needed."""
    if not config.getoption("--kinformer-rbac", None):
        return
    from kinformer.testing.recorded_roles import rights_of

    found = rights_of(server.requests, user=config.getoption("--kinformer-rbac-user"))
    config.stash.setdefault(_RIGHTS, set()).update(tuple(right) for right in found)


def from_worker(config: pytest.Config, output: dict[str, Any]) -> None:
    """Take over the rights that a worker of pytest-xdist has collected."""
    found = {tuple(right) for right in output.get(_OUTPUT, ())}
    config.stash.setdefault(_RIGHTS, set()).update(found)


def write(session: pytest.Session) -> None:
    """Write the file at the end of a run in which all tests passed; a worker hands its rights on instead."""
    config = session.config
    file = config.getoption("--kinformer-rbac", None)
    if not file:
        return
    collected: set[tuple[str, ...]] = config.stash.setdefault(_RIGHTS, set())
    rights = sorted(collected)
    worker_output = getattr(config, "workeroutput", None)
    if worker_output is not None:
        worker_output[_OUTPUT] = [list(right) for right in rights]
        return
    if session.testsfailed or not rights:
        reason = "a test failed" if session.testsfailed else "no test made a request to kube_api"
        _say(config, f"kinformer: {file} is not written: {reason}")
        return
    from kinformer._display.yaml_text import yaml_of
    from kinformer.testing.recorded_roles import Right, roles_of

    path = Path(file)
    name = config.getoption("--kinformer-rbac-name") or path.stem
    path.parent.mkdir(parents=True, exist_ok=True)
    roles = roles_of((Right(*right) for right in rights), name=name)
    path.write_text("---\n".join(map(yaml_of, roles)), encoding="utf-8")
    _say(config, f"kinformer: {len(rights)} recorded rights are in {file}")


def _say(config: pytest.Config, text: str) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(text)
