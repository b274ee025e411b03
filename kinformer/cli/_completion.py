"""Completion in the shell: resources, names of objects, namespaces, contexts, forms.

Built-in resources are known without a request. Everything else comes from the API server, within 1.5 seconds: the user
waits for it. An error offers nothing and prints nothing, because its text would appear inside the command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    import click

    from kinformer.client import Client

__all__ = ["complete_context", "complete_form", "complete_name", "complete_namespace", "complete_resource"]

TIMEOUT: Final = 1.5
"""Seconds within which the API server must answer, unless `KINFORMER_COMPLETION_SECONDS` gives another number."""

_MOST: Final = 500
_FORMS: Final = (
    ("table", "the columns of kubectl get"),
    ("wide", "more columns"),
    ("yaml", "a document per object"),
    ("json", "one List; in a watch, an event per line"),
    ("jsonl", "a JSON value per line"),
    ("name", "pod/web-0"),
    ("jsonpath=", "a template: {.metadata.name}"),
    ("custom-columns=", "columns: NAME:.metadata.name,NODE:.spec.nodeName"),
    ("custom-columns-file=", "a file with a line of titles and a line of paths"),
)


def complete_form(incomplete: str) -> list[tuple[str, str]]:
    """Return the forms in which objects are printed."""
    return [(form, said) for form, said in _FORMS if form.startswith(incomplete)]


def complete_resource(ctx: click.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return resources: the built-in ones, then those of the server; after `pods/`, the names of pods."""
    resource, slash, begun = incomplete.partition("/")
    if slash:
        return [(f"{resource}/{name}", "") for name in _names(ctx, resource, begun)]
    from kinformer.resources import BUILTIN

    known = [
        (name, resource.qualified)
        for resource in BUILTIN
        if resource.watchable
        for name in (resource.plural, *resource.short_names)
        if name.startswith(incomplete)
    ]
    if known:
        return sorted(dict(known).items())
    return [(name, "") for name in _asked(ctx, _custom_resources) if name.startswith(incomplete)]


def complete_name(ctx: click.Context, incomplete: str) -> list[str]:
    """Return the names of the resource's objects."""
    words = ctx.params.get("words") or ()
    return _names(ctx, str(words[0]) if words else "", incomplete)


def complete_namespace(ctx: click.Context, incomplete: str) -> list[str]:
    """Return the names of the namespaces."""
    from kinformer.resources import NAMESPACES

    async def namespaces(client: Client) -> Iterable[str]:
        source = client.list_watch(NAMESPACES, metadata_only=True)
        return [found.name async for page in source.list(limit=_MOST) for found in page.items]

    return [name for name in _asked(ctx, namespaces) if name.startswith(incomplete)]


def complete_context(ctx: click.Context, incomplete: str) -> list[str]:
    """Return the contexts of the kubeconfig."""
    from kinformer.config._environment import kubeconfig_paths
    from kinformer.config._kubeconfig import Kubeconfig
    from kinformer.errors import ConfigError

    given = ctx.params.get("kubeconfig")
    names: list[str] = []
    for path in [Path(str(given))] if given else kubeconfig_paths() or [Path("~/.kube/config")]:
        # Each file separately: a broken file must not hide the contexts of the others.
        with contextlib.suppress(ConfigError):
            names += Kubeconfig.read([path.expanduser()]).contexts()
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _names(ctx: click.Context, resource: str, incomplete: str) -> list[str]:
    from kinformer.cli._selection import Selection

    params = ctx.params

    async def names(client: Client) -> Iterable[str]:
        selection = Selection(str(params.get("namespace") or ""), bool(params.get("all_namespaces")))
        found, namespace = await selection.resolved(client, resource, strict=False)
        source = client.list_watch(found, namespace=namespace, metadata_only=True)
        # One page offers enough choices.
        async for page in source.list(limit=_MOST):
            return [obj.name for obj in page.items]
        return []

    return [name for name in _asked(ctx, names) if name.startswith(incomplete)]


async def _custom_resources(client: Client) -> Iterable[str]:
    return [f"{found.plural}.{found.group}" for found in await client.resources() if found.group]


def _asked(ctx: click.Context, query: Callable[[Client], Awaitable[Iterable[str]]]) -> list[str]:
    """Return the answer of the server that the command line names; nothing if it does not come in time."""
    from kinformer.cli._connect import ServerChoice, connected
    from kinformer.cli._session import UsageProblem
    from kinformer.errors import KinformerError

    params: dict[str, Any] = ctx.params

    async def ask() -> list[str]:
        server = ServerChoice(
            params.get("kubeconfig"),
            params.get("context"),
            params.get("server"),
            params.get("token_file"),
            params.get("ca_file"),
            bool(params.get("insecure")),
            params.get("as_user"),
            tuple(params.get("as_groups") or ()),
        )
        patience = float(os.environ.get("KINFORMER_COMPLETION_SECONDS") or TIMEOUT)
        async with asyncio.timeout(patience), connected(server) as client:
            return [*await query(client)]

    try:
        return asyncio.run(ask())
    except (KinformerError, UsageProblem, OSError, ValueError, LookupError):
        return []
