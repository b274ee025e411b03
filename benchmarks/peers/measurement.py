"""Measures a client, in its own process: the first list, the memory then, and a stream of updates."""

from __future__ import annotations

import ctypes
import gc
import os
import ssl
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Final

__all__ = ["AUTHORITY", "WARM_UP", "Measurement", "authority"]

AUTHORITY: Final = "KINFORMER_BENCH_AUTHORITY"
"""Environment variable: the file of the authority that signed the server's certificate."""

WARM_UP: Final = 0.1
"""The part of the events that passes before the clock is started."""


def authority() -> str | None:
    """The file of the authority that signed the server's certificate; `None` for a server without TLS."""
    return os.environ.get(AUTHORITY)


@dataclass
class Measurement:
    """One run of a client.

    Attributes:
        url: the server's address.
        objects: how many the list has.
        events: how many updates are measured, after `warm_up` others; none where only the list matters.
        reads: whether handler and index look into the objects: at status.phase and spec.nodeName.
    """

    url: str
    objects: int
    events: int
    reads: bool
    seen: int = 0
    added: int = 0
    found: dict[str, float] = field(default_factory=dict)
    _began: float = 0.0

    @property
    def warm_up(self) -> int:
        """Number of updates before the clock is started."""
        return int(self.events * WARM_UP)

    def start(self) -> None:
        """Everything is imported, and nothing has been asked for."""
        gc.collect()
        self._began = time.process_time()

    def is_last_added(self) -> bool:
        """Take an object of the first list; return whether it was the last."""
        self.added += 1
        return self.added == self.objects

    def listed(self) -> bool:
        """Note that the handler got the whole first list; return whether the measurement ends here."""
        self.found["sync"] = (time.process_time() - self._began) * 1e6
        import psutil

        process = psutil.Process()
        self.found["held_before_collection"] = process.memory_info().rss
        gc.collect()
        if sys.platform == "linux":
            # What the allocator keeps for later is not held.
            ctypes.CDLL(None).malloc_trim(0)
        self.found["held"] = process.memory_info().rss
        if self.events:
            trust = ssl.create_default_context(cafile=authority()) if authority() else None
            with urllib.request.urlopen(f"{self.url}/replay/begin", context=trust) as answer:
                answer.read()
        return not self.events

    def event(self, what: str | None) -> bool:
        """Take an update, of which the handler has read something; whether it was the last."""
        if not what:
            raise ValueError("an object without what the handler reads")
        self.seen += 1
        if self.seen == self.warm_up:
            self._began = time.process_time()
        if self.seen < self.warm_up + self.events:
            return False
        if "event" not in self.found:
            self.found["event"] = (time.process_time() - self._began) / self.events * 1e6
        return True
