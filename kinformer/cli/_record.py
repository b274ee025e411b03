"""`kinformer record`: resolve the resources, record, and report."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from kinformer._tasks import BackgroundTask
from kinformer.cli._connect import connected
from kinformer.cli._durations import seconds_of
from kinformer.cli._session import UsageProblem, print_error, write
from kinformer.cli._units import byte_size
from kinformer.errors import KinformerError
from kinformer.recordings import Recorder, recordable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kinformer.cli._connect import ServerChoice
    from kinformer.client import Client
    from kinformer.resources import Resource

__all__ = ["record"]

_PATIENCE: Final = 5.0
"""Seconds after which the command says which lists it waits for."""


async def record(
    names: Sequence[str],
    path: Path,
    *,
    duration: str,
    namespace: str,
    all_namespaces: bool,
    redact: bool,
    secret_data: bool,
    server: ServerChoice,
) -> int:
    """Record until the time is over, or until cancelled. The file is complete in both cases.

    Raises:
        UsageProblem: options that contradict each other, or resources that cannot be watched.
        OSError: the file exists, or cannot be written to.
    """
    if namespace and all_namespaces:
        raise UsageProblem("-n names one namespace and -A means all of them; give one")
    if redact and secret_data:
        raise UsageProblem("--redact leaves no data of Secrets; leave --include-secret-data out")
    seconds = seconds_of(duration) if duration else 10 * 365 * 86_400.0
    _refuse_swapped(names)
    _refuse_existing(path)
    async with connected(server) as client:
        within = "" if all_namespaces else namespace or client.config.namespace
        resources = await _resources(client, names, namespaced_only=bool(within))
        await _refuse_resource(client, path)
        if secret_data:
            print_error(f"WARNING: {path} will have the data of all recorded Secrets in plain text; keep it as one")
        recorder = Recorder(client, path, resources, namespace=within or None, redact=redact, secret_data=secret_data)
        try:
            async with recorder, contextlib.AsyncExitStack() as stack:
                announcing = BackgroundTask("kinformer record announcements")
                stack.push_async_callback(announcing.stop)
                announcing.start(_announce(recorder, len(resources), within))
                await recorder.run(seconds)
        finally:
            _report(path, recorder)
    return 1 if len(recorder.unlisted) == len(resources) else 0


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise UsageProblem(f"{path} exists already; name another file, or remove it")


def _refuse_swapped(names: Sequence[str]) -> None:
    for name in names:
        if name.endswith(".kin") or "/" in name:
            raise UsageProblem(f"{name} is no resource; the file comes last: kinformer record pods out.kin")


async def _refuse_resource(client: Client, path: Path) -> None:
    """Refuse a file that has the name of a resource: the name of the file was forgotten."""
    if path.name != str(path) or path.suffix == ".kin":
        return
    try:
        resource = await client.resolve(path.name)
    except KinformerError:
        return
    raise UsageProblem(f"{path} is the resource {resource.qualified}; name a file behind it, such as {path}.kin")


def _report(path: Path, recorder: Recorder) -> None:
    for resource in recorder.unlisted:
        if resource not in recorder.refused:
            why = recorder.failed.get(resource, "its list has not come yet")
            print_error(f"not in the file: {resource.qualified}: {why}")
    if recorder.left_out:
        print_error(f"not in the file: objects that cannot be decoded, {recorder.left_out} times")
    if path.exists():
        write(f"{path}: {recorder.events} events, {byte_size(path.stat().st_size)}\n")


async def _resources(client: Client, names: Sequence[str], *, namespaced_only: bool) -> list[Resource]:
    words = [word for name in names for word in name.split(",") if word]
    if not words:
        return recordable(await client.resources(), namespaced_only=namespaced_only)
    found = list(dict.fromkeys([await client.resolve(word) for word in words]))
    for resource in found:
        if not resource.watchable:
            raise UsageProblem(f"{resource.full_name} cannot be watched")
    return found


async def _announce(recorder: Recorder, count: int, namespace: str) -> None:
    where = f"namespace {namespace}" if namespace else "all namespaces"
    print_error(f"lists {count} resources of {where}")
    try:
        await _listed(recorder)
    except OSError:
        # `run` raises it.
        return
    for resource, error in recorder.refused.items():
        print_error(f"left out: {resource.qualified} ({error.status})")
    print_error("all lists are in the file; now it records the changes")


async def _listed(recorder: Recorder) -> None:
    """Wait for all lists, and say which ones take long."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await recorder.listed()
            return
    except TimeoutError:
        for resource in recorder.unlisted:
            if resource not in recorder.refused:
                print_error(f"waits for {resource.qualified}: {recorder.failed.get(resource, 'no answer yet')}")
    await recorder.listed()
