"""Keys to work on: de-duplicated, by priority, delayed, rate-limited. Knows nothing of Kubernetes."""

from __future__ import annotations

from kinformer.workqueue._fair_queue import FairQueue
from kinformer.workqueue._rate_limiting_queue import Debounce, RateLimitingQueue
from kinformer.workqueue._work_queue import DEFAULT_PRIORITY, LOW_PRIORITY, WorkQueue

__all__ = ["DEFAULT_PRIORITY", "LOW_PRIORITY", "Debounce", "FairQueue", "RateLimitingQueue", "WorkQueue"]
