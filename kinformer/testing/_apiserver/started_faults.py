"""StartedFaults: the faults that go on in the embedded API server, started by their text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinformer._tasks import BackgroundTask

if TYPE_CHECKING:
    from kinformer.testing.faults import Faults

__all__ = ["StartedFaults"]

_MOST_FAULTS: Final = 100


class StartedFaults:
    """A task for each fault of the command line's spelling, such as "drop:every=5", by a number."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._tasks: dict[int, tuple[str, BackgroundTask]] = {}
        self._started = 0

    def start(self, text: str) -> int:
        """Inject a fault; return its number.

        Raises:
            ValueError: the text does not parse, or 100 faults go on.
        """
        # Imported here: a server without such faults pays nothing for them.
        from kinformer.testing.fault_spec import FaultSpec

        spec = FaultSpec.parse(text)
        self._tasks = {number: one for number, one in self._tasks.items() if one[1].running}
        if len(self._tasks) >= _MOST_FAULTS:
            raise ValueError(f"{_MOST_FAULTS} faults go on already; end them first")
        self._started += 1
        task = BackgroundTask(f"kinformer fault {text}")
        self._tasks[self._started] = (text, task)
        task.start(spec.run(self._faults))
        return self._started

    def running(self) -> dict[int, str]:
        """Return the faults that go on, by their numbers."""
        return {number: text for number, (text, task) in self._tasks.items() if task.running}

    def stop(self) -> None:
        """End them all, in the next turns of the loop."""
        for _, task in self._tasks.values():
            task.cancel()

    async def join(self) -> None:
        """End them all, and wait until they have ended."""
        for _, task in self._tasks.values():
            task.cancel()
            await task.join()
