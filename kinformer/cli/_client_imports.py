"""The client, imported without the certificates of the system.

Modules of the command line import the client from here, so that none of them imports it the slow way first.
"""

from __future__ import annotations

from kinformer.cli._no_authorities import no_default_authorities

__all__ = ["Client", "TableListerWatcher"]

with no_default_authorities():
    from kinformer.client import Client, TableListerWatcher
