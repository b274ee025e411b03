"""Follows a provider of clusters, and asks it again after a failure."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from typing import TYPE_CHECKING, Any, Final

from kinformer._survivable import is_survivable, text_of
from kinformer._tasks import BackgroundTask
from kinformer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.backoff import Backoff
    from kinformer.fleet.providers import Clusters, Provider

_log: Final = logging.getLogger("kinformer.fleet")


class ProviderFollower:
    """Gives each answer of a provider to a fleet, and asks a provider that failed again after a delay.

    Args:
        fleet_name: the name of the fleet in logs.
        provider: the provider.
        backoff: the delays after failures.
        take: gets each answer; an exception from it counts as a failure of the provider.
        changed: called after each answer and each failure.

    Attributes:
        task: the task that follows.
        answered: true once an answer has been taken.
        error: the last failure; `None` after an answer.
    """

    def __init__(
        self,
        fleet_name: str,
        provider: Provider,
        backoff: Backoff,
        *,
        take: Callable[[Clusters], None],
        changed: Callable[[], None],
    ) -> None:
        self._fleet_name = fleet_name
        self._provider = provider
        self._backoff = backoff
        self._take = take
        self._changed = changed
        self.task = BackgroundTask(f"kinformer fleet {fleet_name}")
        self.answered = False
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin to follow, in a task."""
        self.task.start(self._follow(), on_end=self._ended)

    async def _follow(self) -> None:
        """Take the clusters of the provider, for ever."""
        failures = 0
        while True:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    found = _stream_of(self._provider)
                    if hasattr(found, "aclose"):
                        await stack.enter_async_context(contextlib.aclosing(found))
                    async for clusters in found:
                        self._take(clusters)
                        failures = 0
                        self.answered = True
                        self.error = None
                        self._changed()
                        # A provider that never waits would leave no turn to others.
                        await asyncio.sleep(0)
                if self.answered:
                    await asyncio.get_running_loop().create_future()
                raise ConfigError("the provider has ended without having named clusters")  # noqa: TRY301
            except BaseException as error:
                if not is_survivable(error):
                    raise
                failures += 1
                self.error = error
                self._changed()
                delay = self._backoff.delay(failures)
                is_news = failures == 1 or not isinstance(error, ConfigError)
                text = "fleet %s: the provider has failed, and is asked again in %.1f s; the clusters stay: %s"
                _log.log(logging.ERROR if is_news else logging.DEBUG, text, self._fleet_name, delay, text_of(error),
                         exc_info=None if isinstance(error, ConfigError) else error)  # fmt: skip
                await asyncio.sleep(delay)

    def _ended(self) -> None:
        if self.task.failure is not None:
            self.error = self.task.failure
            self._changed()
            message = "fleet %s has failed: it follows its provider no more"
            _log.critical(message, self._fleet_name, exc_info=self.task.failure)


def _stream_of(provider: Provider) -> Any:
    """Return the iterator of a provider.

    Raises:
        ConfigError: its method is no async generator.
    """
    found: Any = provider.clusters()
    if inspect.iscoroutine(found):
        found.close()
        raise ConfigError("clusters() of the provider is a coroutine; it must yield, as an async generator does")
    return found
