"""`kinformer types`: find the schemas of the kinds, and print their classes."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kinformer.cli._object_types.class_texts import Style, source_of_classes
from kinformer.cli._object_types.models import classes_of
from kinformer.cli._object_types.schemas import Kind, Schemas, builtin_document, kinds_of_definition, release
from kinformer.cli._session import UsageProblem, write
from kinformer.resources import find_resource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kinformer.cli._connect import ServerChoice
    from kinformer.resources import Resource

__all__ = ["print_types"]

_STDIN: Final = Path("-")


async def print_types(
    names: Sequence[str],
    files: Sequence[Path],
    server: ServerChoice,
    *,
    from_cluster: bool,
    paths: Sequence[str],
    style: Style,
    docs: bool,
    command: Sequence[str],
) -> int:
    """Print the classes of resources and of CustomResourceDefinitions; return the exit code.

    Args:
        names: the resources, as kubectl names them.
        files: files with CustomResourceDefinitions; "-" is standard input.
        server: the server that has the schemas of other resources than those of Kubernetes itself.
        from_cluster: read the schemas of all resources from the server.
        paths: only these fields.
        style: Structs or TypedDicts.
        docs: whether the fields have their descriptions.
        command: the command line, for the docstring of the module.

    Raises:
        UsageProblem: a file has no definition, a resource has no schema, or a path leads nowhere.
        UnknownResourceError: the server has no such resource.
    """
    schemas = Schemas()
    kinds: dict[Kind, None] = {}
    for file in files:
        for kind, defined in _defined(file):
            schemas.add(defined)
            kinds[kind] = None
    elsewhere: list[str] = []
    for name in names:
        found = None if from_cluster else find_resource(name)
        document = None if found is None else builtin_document(found.api_version)
        if found is None or document is None:
            elsewhere.append(name)
            continue
        schemas.add(document)
        kinds[Kind.of(found, release())] = None
    if elsewhere:
        for kind in await _from_server(elsewhere, server, schemas):
            kinds[kind] = None
    classes = classes_of(schemas, [*kinds], paths)
    origins = dict.fromkeys(kind.source for kind in kinds)
    write(source_of_classes(classes, style, heading=shlex.join(command), origins=origins, docs=docs))
    return 0


async def _from_server(names: Sequence[str], server: ServerChoice, schemas: Schemas) -> list[Kind]:
    """Add the schemas of resources from a server; return the kinds."""
    from kinformer.cli._connect import connected

    found: list[Resource] = []
    async with connected(server) as client:
        version = str(await client.version())
        found += [await client.resolve(name) for name in names]
        for api_version in dict.fromkeys(resource.api_version for resource in found):
            schemas.add(await client.openapi(api_version))
    return [Kind.of(resource, f"a cluster with Kubernetes {version.removeprefix('v')}") for resource in found]


def _defined(file: Path) -> Iterator[tuple[Kind, dict[str, Any]]]:
    """Yield the kinds that a file of YAML or JSON defines, each with a document of its schema.

    Raises:
        UsageProblem: it is no YAML, or defines nothing.
        OSError: it cannot be read.
    """
    import yaml

    name = "standard input" if file == _STDIN else file.name
    text = sys.stdin.read() if file == _STDIN else file.read_text()
    try:
        documents = [*yaml.safe_load_all(text)]
    except yaml.YAMLError as error:
        msg = f"{name}: no YAML: {' '.join(str(error).split())}"
        raise UsageProblem(msg) from None
    flat = [one for each in documents for one in _items(each)]
    definitions = [one for one in flat if one.get("kind") == "CustomResourceDefinition"]
    if not definitions:
        msg = f"{name}: there is no CustomResourceDefinition in it"
        raise UsageProblem(msg)
    for definition in definitions:
        yield from kinds_of_definition(definition, name)


def _items(document: Any) -> list[dict[str, Any]]:
    if not isinstance(document, dict):
        return []
    items = document.get("items")
    if document.get("kind", "").endswith("List") and isinstance(items, list):
        return [item for item in items if isinstance(item, dict)]
    return [document]
