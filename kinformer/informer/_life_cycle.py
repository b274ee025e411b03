"""Life cycle of an informer: it starts once, its parts run in one task group, and it ends as a whole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from kinformer._clock import clock_of
from kinformer._own_loop import OwnLoop
from kinformer._tasks import BackgroundTask
from kinformer._time_slice import TimeSlice
from kinformer.errors import AlreadyStartedError, NotStartedError, StoppedError, UnexpectedError
from kinformer.status import InformerState

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any, TypeAlias

    from kinformer.informer._failure_handling import FailureHandling
    from kinformer.status import StatusRecord

    # A function, because the task may be cancelled before its first step: then no coroutine was made.
    Part: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

__all__ = ["HasParts", "LifeCycle"]

_ENDED: Final = frozenset({InformerState.STOPPED, InformerState.FAILED, InformerState.GAVE_UP})


class HasParts(Protocol):
    """The owner of the parts of one informer. One object, where three callbacks would be three for the collector."""

    def lead(self) -> Coroutine[Any, Any, None]:
        """Run the leading part, which may give up."""
        ...

    def other_parts(self, group: asyncio.TaskGroup) -> Mapping[str, Part]:
        """Return the functions that run the other parts in a task group, by name."""
        ...

    def has_ended(self, started: bool) -> None:
        """Take note that the informer has ended, and whether it had been started."""
        ...


class LifeCycle:
    """Starts, runs and ends the parts of one informer.

    Args:
        name: name of the informer.
        record: status of the informer.
        failures: handles a defect of a part.
        owner: has the parts.

    Attributes:
        clock: clock of the loop that the informer runs in; always 0 before `start`.
        ending: true from the moment at which a part has ended. From then on, the cancellation of a handler is due to
            the end of the informer.
    """

    def __init__(
        self,
        name: str,
        record: StatusRecord,
        failures: FailureHandling,
        owner: HasParts,
    ) -> None:
        self.clock: Callable[[], float] = _before_start
        self.ending = False
        self._name = name
        self._record = record
        self._failures = failures
        self._owner = owner
        self._own_loop = OwnLoop(f"informer {name} was started")
        self._background = BackgroundTask(f"kinformer informer {name}")

    @property
    def started(self) -> bool:
        """True from `start` on, also before its parts have had their first turn."""
        return self._record.state is not InformerState.NEW

    @property
    def stopped(self) -> bool:
        """True if the informer has ended: it was stopped, it gave up, or it failed by a defect of its own."""
        return self._record.state in _ENDED

    @property
    def failure(self) -> BaseException | None:
        """The defect that ended the informer; `None` if there was none."""
        return self._background.failure

    def start(self, begin: Callable[[], None]) -> None:
        """Start the parts in the background of the running loop. `begin` is called first.

        Raises:
            AlreadyStartedError: the informer was started before.
        """
        if self._record.state is not InformerState.NEW:
            msg = f"informer {self._name} has been started already; an informer runs once, make a new one"
            raise AlreadyStartedError(msg)
        self.clock = clock_of(self._own_loop.take())
        self._record.enter(InformerState.LISTING, self.clock())
        begin()
        self._background.start(self._run(), on_end=self._end)

    async def stop(self) -> None:
        """End the informer and wait until no task of it is left.

        Raises:
            ExceptionGroup: the informer had failed by a defect of its own.
            WrongLoopError: the informer runs in another event loop.
        """
        if self._record.state is InformerState.NEW:
            self._end()
            return
        self.refuse_other_loop()
        await self._background.stop()

    def request_stop(self) -> None:
        """End the informer; do not wait."""
        if self._record.state is InformerState.NEW:
            self._end()
        self._background.cancel()

    def give_up(self) -> None:
        """End the informer in the state GAVE_UP."""
        self._record.enter(InformerState.GAVE_UP, self.clock())
        self._background.cancel()

    def refuse_unless_running(self, consequence: str) -> None:
        """Raise an error unless the informer runs.

        Args:
            consequence: part of the message: the result of the call that is refused.

        Raises:
            NotStartedError: the informer has not been started.
            StoppedError: the informer has ended.
        """
        if self._record.state is InformerState.NEW:
            remedy = "use `async with` or start(), or wait for `manager.ready()` if a Manager starts it"
            msg = f"informer {self._name} has not been started: {consequence}; {remedy}"
            raise NotStartedError(msg)
        self.refuse_if_stopped(consequence)

    def refuse_other_loop(self) -> None:
        """Raise an error if the caller runs in another event loop than the informer: it would wait for ever.

        Raises:
            WrongLoopError: the informer runs in another event loop.
        """
        if not self.stopped:
            self._own_loop.check()

    def refuse_if_stopped(self, consequence: str) -> None:
        """Raise an error if the informer has ended.

        Raises:
            StoppedError: the informer has ended.
            WrongLoopError: the informer runs in another event loop.
        """
        self.refuse_other_loop()
        if self.stopped:
            msg = f"informer {self._name} has stopped already: {consequence}; make a new informer"
            raise StoppedError(msg)

    def ended(self, when: str) -> StoppedError:
        """Return the error for a caller whose wait the end of the informer has cut short."""
        gave_up = self._record.state is InformerState.GAVE_UP
        how = f"gave up {when}: {self._record.last_error}" if gave_up else f"stopped {when}"
        return StoppedError(f"informer {self._name} {how}")

    async def _run(self) -> None:
        # Where hundreds of informers start at once, each start waits for its time slice.
        await TimeSlice().begin()
        try:
            async with asyncio.TaskGroup() as group:
                for name, part in self._owner.other_parts(group).items():
                    what = f"kinformer {name} {self._name}"
                    group.create_task(self._for_life(part, what), name=what)
                await self._lead()
        except BaseExceptionGroup as error:
            self._failures.of_informer(error, self.clock())
            raise

    async def _lead(self) -> None:
        """Run the leading part, in the task of the informer: one task more would be 20 objects for the collector.

        Raises:
            UnexpectedError: it ended, though nothing had asked it to.
        """
        try:
            await self._owner.lead()
            # The reflector returns only when it gives up; otherwise it ends by cancellation.
            self.give_up()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        finally:
            self.ending = True
        if self._record.state is not InformerState.GAVE_UP:
            raise _ended_alone(f"kinformer reflector {self._name}")

    async def _for_life(self, part: Part, what: str) -> None:
        """Run another part.

        Raises:
            UnexpectedError: it ended, though nothing had asked it to.
        """
        try:
            running = part()
            del part  # it would live as long as the part
            await running
        except asyncio.CancelledError:
            # Where the whole informer ends, the leading part is cancelled in the same turn.
            await asyncio.sleep(0)
            if self.ending:
                raise
        except BaseException:
            self.ending = True
            raise
        self.ending = True
        raise _ended_alone(what)

    def _end(self) -> None:
        started = self._record.state is not InformerState.NEW
        if not self.stopped:
            self._record.enter(InformerState.STOPPED, self.clock())
        self._owner.has_ended(started)


def _before_start() -> float:
    return 0.0


def _ended_alone(part: str) -> UnexpectedError:
    # It leaves half of an informer.
    return UnexpectedError(f"{part} ended, though nothing had asked it to")
