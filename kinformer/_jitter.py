"""The source of randomness of pauses, shared by the whole process.

A `random.Random` holds 2.5 kB of state. An informer with its controller would have four of them, and a program may have
thousands of informers. The shared one takes its numbers from the operating system, so that processes that were forked
from one another do not pause for the same time.
"""

from __future__ import annotations

import random
from typing import Final

__all__ = ["JITTER"]

JITTER: Final[random.Random] = random.SystemRandom()
"""Without a state that could be seeded; safe in threads and after a fork."""
