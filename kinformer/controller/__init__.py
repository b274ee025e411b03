"""Workers awaiting reconcile(key)."""

from __future__ import annotations

from kinformer.controller._controller import Controller
from kinformer.controller.reconcile import Requeue, TerminalError

__all__ = ["Controller", "Requeue", "TerminalError"]
