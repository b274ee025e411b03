"""`Manager`: starts, watches and stops the parts of an operator, with probes and metrics.

_manager     Manager: the stages, signals and failures    _parts      the parts, and the work of each
_asgi        the same answers as an ASGI application
_pages       the answers of /livez, /readyz, /metrics     _watchdog   names the code that blocks the event loop
"""

from __future__ import annotations

from kinformer.manager._manager import Manager

__all__ = ["Manager"]
