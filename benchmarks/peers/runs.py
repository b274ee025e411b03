"""One run of kinformer or of client-go, each in a process of its own, against a server of `api_replay`."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

from benchmarks.peers import go
from benchmarks.peers.clients import PAGED
from benchmarks.peers.measurement import AUTHORITY, WARM_UP

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KINFORMER", "RIVAL", "ask", "run"]

KINFORMER = "kinformer"
RIVAL = "client-go, protobuf"

_PATIENCE = 90.0  # seconds for one run


def ask(url: str, path: str, authority: Path | None = None) -> Any:
    """Ask the server for something beside the API, such as "reset?objects=50"; return its answer."""
    trust = None if authority is None else ssl.create_default_context(cafile=str(authority))
    with urllib.request.urlopen(f"{url}/replay/{path}", context=trust) as answer:
        return json.loads(answer.read())


def run(
    client: str,
    url: str,
    objects: int,
    events: int,
    *,
    reads: bool = False,
    streams: bool = True,
    settings: str = "",
    authority: Path | None = None,
) -> dict[str, float]:
    """Return the costs of one run: CPU microseconds "sync" and "event", and bytes "held".

    Args:
        client: `KINFORMER` or `RIVAL`.
        url: address of the server.
        objects: in the list, and
        events: measured after it.
        reads: whether handler and index read fields.
        streams: whether the first list is streamed.
        settings: arguments for the server, such as "&rate=10".
        authority: file of the authority that signed the server's certificate.

    Raises:
        MissingError: client-go cannot be measured here.
        subprocess.SubprocessError: the client failed.
    """
    ask(url, f"reset?objects={objects}{settings}", authority)
    environment = dict(os.environ)
    if client == KINFORMER:
        how = "reads" if reads else "names"
        command = [sys.executable, "-m", "benchmarks.peers.clients", client, url, str(objects), str(events), how]
        if authority is not None:
            environment[AUTHORITY] = str(authority)
        if not streams:
            environment[PAGED] = "1"
    else:
        command = [str(go.built()), "informer", "-url", url, "-encoding", "protobuf", "-objects", str(objects)]
        command += ["-events", str(events), "-warm-up", str(int(events * WARM_UP)), *(["-reads"] if reads else [])]
        command += [] if authority is None else ["-ca", str(authority)]
        environment["KUBE_FEATURE_WatchListClient"] = str(streams).lower()
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, env=environment, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
