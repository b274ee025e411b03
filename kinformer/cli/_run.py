"""`kinformer run`: the manager that a function of the user's makes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from kinformer.cli._connect import connected
from kinformer.cli._crd import classes_in, imported
from kinformer.cli._session import UsageProblem, code_of
from kinformer.custom_resources import resource_of
from kinformer.manager import Manager

if TYPE_CHECKING:
    from kinformer.cli._client_imports import Client
    from kinformer.cli._connect import ServerChoice

__all__ = ["made_manager", "run_manager"]


async def run_manager(target: str, server: ServerChoice, *, install: bool = False) -> int:
    """Call the function with an open client, and run the manager that it returns until a signal comes.

    Args:
        target: the module and the function.
        server: the server; with `demo`, the CRDs are installed, too.
        install: whether to install the CRDs of the module's classes first.

    Raises:
        UsageProblem: there is no such function, or it returns no Manager.
        ProgramFailed: the module, the function or a part of the manager raises.
    """
    # Before a server is asked for: a wrong name is the nearer fault.
    imported(target)
    async with connected(server) as client:
        if install or server.demo:
            await _install(target, client)
        manager = await made_manager(target, client)
        # Such as a port that is taken: the error says all of it.
        with code_of(target, kept=(OSError,)):
            await manager.run()
    return 0


async def _install(target: str, client: Client) -> None:
    module, _ = imported(target)
    classes: dict[str, list[type]] = {}
    for kind in classes_in(module):
        classes.setdefault(resource_of(kind).qualified, []).append(kind)
    for versions in classes.values():
        await client.install(*versions)


async def made_manager(target: str, client: Client) -> Manager:
    """Call the function with a client.

    Raises:
        UsageProblem: there is no such function, or it returns no Manager.
        ProgramFailed: the function raises.
    """
    module, names = imported(target)
    make: Any = module
    for name in names or ["manager"]:
        make = getattr(make, name, None)
    if not callable(make):
        msg = f"{target} is no function; write module:function, of a function that takes a Client and returns a Manager"
        raise UsageProblem(msg)
    with code_of(target):
        manager = make(client)
        if inspect.isawaitable(manager):
            manager = await manager
    if not isinstance(manager, Manager):
        msg = f"{target} returned a {type(manager).__name__}, and not the Manager to run"
        raise UsageProblem(msg)
    return manager
