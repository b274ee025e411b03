"""A page that shows informers: their health, their objects, and the changes.

    app.mount("/informers", Dashboard(informers))      # FastAPI or Starlette, and their Informers; or a factory
    Dashboard(factory, controllers=[controller])

`kinformer ui` serves the same on its own. The page is read-only, and values of Secrets never leave the server. It needs
no build step and loads nothing from elsewhere.

dashboard   the ASGI application and its paths          guard         refuses foreign sites
stats       each informer's figures, once a second      changes       latest changes, within a budget
rows        a cache as a live table                     presentation  objects as YAML, without values of Secrets
related     owners, owned objects and Events of an object
"""

from __future__ import annotations

from kinformer._display.columns import Column
from kinformer._extras import from_extra

with from_extra("ui", __name__):
    from kinformer.integrations.ui.dashboard import Dashboard


__all__ = ["Column", "Dashboard"]
