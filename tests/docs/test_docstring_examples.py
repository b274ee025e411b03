"""The examples in docstrings run, with top-level await as in a notebook, and show what they say.

Each finds an entered `client`, a started `factory` and its informer `pods`, of a server with the pod default/web-0, and
the names of the front door.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
from typing import Any

import pytest

import kinformer
from kinformer import Client, ClusterConfig, Requeue, SharedInformerFactory
from kinformer.testing import ApiServer, build

MOST_USED = (
    "Backoff", "Client", "Controller", "EventRecorder", "Finalizer", "KubeObject", "LeaderElector", "Lister", "Manager",
    "Namespaces", "ObjectKey", "RateLimitingQueue", "Requeue", "Resource", "Shard", "SharedInformer",
    "SharedInformerFactory", "Trim", "WorkQueue", "owned_by",
)  # fmt: skip
WITH_EXAMPLES = [name for name in kinformer.__all__ if ">>> " in (getattr(kinformer, name).__doc__ or "")]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def test_the_most_used_names_have_examples() -> None:
    assert set(MOST_USED) - set(WITH_EXAMPLES) == set()


async def shown(source: str, names: dict[str, Any]) -> str:
    """What an interactive session prints for one statement."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        tree = ast.parse(source)
        last = tree.body[-1]
        inner = last.body[-1] if isinstance(last, ast.AsyncWith) else last
        if isinstance(inner, ast.Expr):  # shows the value of an expression, also of the last one in a block
            show = ast.Call(ast.Name("_show", ast.Load()), [inner.value], [])
            inner.value = ast.copy_location(show, inner.value)
        ast.fix_missing_locations(tree)
        names["_show"] = lambda value: None if value is None else print(repr(value))
        ran = eval(compile(tree, "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.isawaitable(ran):
            await ran
    return out.getvalue()


@pytest.mark.parametrize("name", WITH_EXAMPLES)
async def test_the_example_shows_what_it_says(name: str) -> None:
    async def reconcile(key: Any) -> Requeue:
        return Requeue(after=300)

    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        server.create(build.pod("web-0", node="node-1"))
        factory = SharedInformerFactory(client)
        pods = factory.core.v1.pods
        async with factory:
            await factory.wait_for_cache_sync(timeout=30)
            names = {each: getattr(kinformer, each) for each in kinformer.__all__}
            names |= {"asyncio": asyncio, "server": server, "client": client, "factory": factory, "pods": pods}
            names |= {"reconcile": reconcile}
            for example in doctest.DocTestParser().get_examples(getattr(kinformer, name).__doc__):
                got = await shown(example.source, names)
                assert doctest.OutputChecker().check_output(example.want, got, FLAGS), (example.source, got)
