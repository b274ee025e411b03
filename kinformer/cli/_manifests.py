"""`kinformer manifests`: the manifests of an operator, written to a folder or compared with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kinformer.cli._client_imports import Client
from kinformer.cli._crd import classes_in, classes_of, definitions_of, imported
from kinformer.cli._run import made_manager
from kinformer.cli._session import EXIT_FAILURE, UsageProblem, print_error, write
from kinformer.config import ClusterConfig
from kinformer.manifests import OWN_NAMESPACE, UnfitManagerError, compare, files_of, plan_of
from kinformer.manifests import write as write_files
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.manifests import Plan

__all__ = ["manifests"]

_NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?")
"""A DNS label that leaves room for suffixes, such as those of Pods."""


async def manifests(
    target: str, *, out: Path, check: bool, name: str = "", namespace: str = "", rbac: Path | None, crds: Sequence[str]
) -> int:
    """Write the files, or print how the folder differs from the code.

    Returns:
        The exit code: 1 if `check` finds a difference.

    Raises:
        UsageProblem: an argument does not fit, or the manager cannot be deployed as it is.
    """
    imported(target)
    name = name or default_name(target)
    for given, option in ((name, "--name"), (namespace or name, "--namespace")):
        if not _NAME.fullmatch(given):
            msg = f"{option} {given!r}: write a letter, then letters, digits and '-', at most 53, all in lower case"
            raise UsageProblem(msg)
    plan = await planned(target, name=name, recorded=_recorded(rbac), crds=crds)
    files = files_of(plan, namespace or name)
    for notice in plan.notices:
        print_error(notice)
    if not check:
        for change in write_files(out, files):
            verb = "removed" if change.kind == "stale" else "wrote"
            write(f"{verb} {out / change.path}\n")
        return 0
    changes = compare(out, files)
    for change in changes:
        write(change.difference)
    if not changes:
        return 0
    listed = ", ".join(f"{change.path} ({change.kind})" for change in changes)
    print_error(f"{out} has drifted from the code: {listed}; the same command without --check writes the files")
    return EXIT_FAILURE


def default_name(target: str) -> str:
    """Return the name of an operator from its module: "my_operator.main:manager" is "my-operator"."""
    return target.partition(":")[0].partition(".")[0].replace("_", "-").lower().strip("-")


async def planned(
    target: str, *, name: str, recorded: Sequence[dict[str, Any]] | None, crds: Sequence[str] = ()
) -> Plan:
    """Have the function make its manager, with a client of an embedded API server, and read the plan from it.

    Raises:
        UsageProblem: the target or an argument does not fit, or the manager cannot be deployed as it is.
    """
    module, _ = imported(target)
    found = dict.fromkeys([*classes_in(module), *(kind for each in crds for kind in classes_of(each))])
    definitions = definitions_of(found)
    async with ApiServer() as server:
        for definition in definitions:
            server.create(definition)
        async with Client(ClusterConfig.for_server(server.url, namespace=OWN_NAMESPACE)) as client:
            manager = await made_manager(target, client)
            try:
                return plan_of(manager, name=name, target=target, definitions=definitions, recorded=recorded)
            except UnfitManagerError as error:
                raise UsageProblem(str(error)) from None


def _recorded(file: Path | None) -> list[dict[str, Any]] | None:
    """Read the recorded Roles; by default "rbac.yaml", if there is one.

    Raises:
        UsageProblem: the file is missing, or is no YAML.
    """
    import yaml

    path = file or Path("rbac.yaml")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if file is None:
            return None
        msg = f"--rbac {file}: there is no such file; write it with pytest --kinformer-rbac={file}"
        raise UsageProblem(msg) from None
    try:
        return [each for each in yaml.safe_load_all(text) if isinstance(each, dict)]
    except yaml.YAMLError:
        msg = f"{path} is no YAML; write it again with pytest --kinformer-rbac={path}"
        raise UsageProblem(msg) from None
