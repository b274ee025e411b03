"""A page that shows informers at work: their health, their objects, and what changes.

    app.mount("/informers", Dashboard(informers))      # FastAPI or Starlette, and their Informers; or a factory

`kinformer ui` serves the same on its own. The page is read-only, and what Secrets hold never leaves the server. It
needs no build step and loads nothing from elsewhere.

dashboard   the ASGI application and its paths          guard         who may read it
stats       each informer's figures, once a second      changes       what has changed of late, within a budget
rows        a cache as a live table                     presentation  objects as YAML, without what is confidential
"""

from __future__ import annotations

from kinformer._display.columns import Column
from kinformer.integrations.ui.dashboard import Dashboard

__all__ = ["Column", "Dashboard"]
