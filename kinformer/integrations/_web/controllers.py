"""Controllers of a web application, run beside it: they wait for caches and leadership without keeping it waiting."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeAlias

from kinformer._survivable import is_survivable
from kinformer._tasks import BackgroundTask
from kinformer.backoff import Backoff
from kinformer.errors import LeadershipLostError, StoppedError
from kinformer.status import error_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kinformer.client import Client
    from kinformer.controller import Controller
    from kinformer.informer.factory import SharedInformerFactory

__all__ = ["ControllerRun", "ControllerRuns", "MakeController"]

_log = logging.getLogger(__name__)

MakeController: TypeAlias = "Callable[[Client, SharedInformerFactory], Controller[Any]]"
"""Makes a controller, and its elector if it has one. It is called for each run, as neither runs twice."""


class ControllerRun:
    """One controller of an application: run, and made anew when a run has ended with an error.

    Attributes:
        controller: the one that runs, or ran last.
        error: what ended the last run; `None` while the first one goes on.
    """

    def __init__(self, make: Callable[[], Controller[Any]], backoff: Backoff) -> None:
        self._make = make
        self._backoff = backoff
        self.controller = make()
        self.error: BaseException | None = None

    async def run(self) -> None:
        """Run until cancelled, or until the controller's queue was shut down."""
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            began = clock()
            try:
                if self.error is not None:
                    self.controller = self._make()
                await self.controller.run()
            except StoppedError:
                _log.info("controller %s ends: its informers have been stopped", self.controller.name)
                return
            except BaseException as error:
                # It must not end the application, and is reported.
                if not is_survivable(error):
                    raise
                self.error = error
                failures = 1 if clock() - began > self._backoff.maximum else failures + 1
                pause = self._backoff.delay(failures)
                what = "leads no longer" if isinstance(error, LeadershipLostError) else f"ended: {error_name(error)}"
                _log.warning("controller %s %s; it begins again in %.1f s", self.controller.name, what, pause,
                             exc_info=not isinstance(error, LeadershipLostError))  # fmt: skip
                await asyncio.sleep(pause)
            else:
                return


class ControllerRuns:
    """The controllers of one application while it runs."""

    def __init__(
        self,
        makers: Iterable[MakeController],
        client: Client,
        factory: SharedInformerFactory,
        backoff: Backoff | None = None,
    ) -> None:
        def made_by(make: MakeController) -> ControllerRun:
            return ControllerRun(lambda: make(client, factory), backoff or Backoff())

        self.runs = [made_by(make) for make in makers]
        self._tasks: list[BackgroundTask] = []

    def start(self) -> None:
        """Start all of them, each in a task of its own."""
        for run in self.runs:
            task = BackgroundTask(f"kinformer controller {run.controller.name} of an application")
            task.start(run.run())
            self._tasks.append(task)

    async def stop(self) -> None:
        """Stop all of them, each as `Controller.run` does when cancelled, and wait for their ends."""
        for task in self._tasks:
            task.cancel()
        for run, task in zip(self.runs, self._tasks, strict=True):
            try:
                await task.stop()
            except Exception:  # noqa: BLE001 - the others are stopped all the same
                _log.exception("controller %s did not end well", run.controller.name)
