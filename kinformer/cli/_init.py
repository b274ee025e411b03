"""`kinformer init`: the project of a new operator."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from kinformer._display.yaml_text import yaml_of
from kinformer.cli._crd import classes_in, imported
from kinformer.cli._manifests import planned
from kinformer.cli._session import UsageProblem, write
from kinformer.custom_resources import resource_of
from kinformer.manifests import NewProject, UnfitNameError, files_of
from kinformer.manifests import write as write_files
from kinformer.testing.recorded_roles import Right, roles_of

if TYPE_CHECKING:
    from pathlib import Path

    from kinformer.resources import Resource

__all__ = ["init", "rights_of_the_template"]

_NEXT: Final = """
cd {folder}
python -m venv .venv && . .venv/bin/activate
pip install -e '.[test]'
pytest
"""


async def init(folder: Path, *, group: str, kind: str) -> int:
    """Write the project, with its recorded rights and its manifests.

    Args:
        folder: the folder, absolute; its name is that of the project.
        group: the API group of the custom resource.
        kind: the kind of the custom resource.

    Raises:
        UsageProblem: a name does not fit, or the folder is not empty.
    """
    try:
        project = NewProject(folder.name, group, kind)
        made = project.create(folder)
    except (UnfitNameError, FileExistsError) as error:
        raise UsageProblem(str(error)) from None
    sys.path.insert(0, str(folder))
    # The project must not have files of this interpreter.
    sys.dont_write_bytecode = True
    module, _ = imported(project.target)
    (custom,) = classes_in(module)
    roles = roles_of(rights_of_the_template(resource_of(custom)), name=project.name)
    recorded = folder / "rbac.yaml"
    recorded.write_text("---\n".join(map(yaml_of, roles)), encoding="utf-8")
    plan = await planned(project.target, name=project.name, recorded=roles)
    deploy = folder / "deploy"
    changes = write_files(deploy, files_of(plan, project.name))
    made += [recorded, *(deploy / change.path for change in changes)]
    write(f"{len(made)} files in {folder}\n{_NEXT.format(folder=folder)}")
    return 0


def rights_of_the_template(custom: Resource) -> set[Right]:
    """Return the rights that the tests of a new project record."""
    apps = [Right(verb, "apps", "deployments", "") for verb in ("list", "watch")]
    # The tests have their objects in this namespace.
    apps += [Right(verb, "apps", "deployments", "default") for verb in ("create", "patch")]
    own = [Right(verb, custom.group, custom.plural, "") for verb in ("list", "watch")]
    leases = [Right(verb, "coordination.k8s.io", "leases", "default") for verb in ("get", "create", "update")]
    return {*apps, *own, Right("patch", custom.group, f"{custom.plural}/status", "default"), *leases}
