"""Keys to work on: de-duplicated, by priority, delayed, rate-limited. Knows nothing of Kubernetes."""

from __future__ import annotations

from kinformer.workqueue._fair_queue import FairQueue
from kinformer.workqueue._queues import DEFAULT_PRIORITY, LOW_PRIORITY, Debounce, RateLimitingQueue, WorkQueue

__all__ = ["DEFAULT_PRIORITY", "LOW_PRIORITY", "Debounce", "FairQueue", "RateLimitingQueue", "WorkQueue"]
