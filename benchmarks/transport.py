"""Question: what do TLS and gzip add?

The recorded pods (8.9 KB): an event of a full stream, and an object of the first list, over plain HTTP and over TLS
1.3; and an object of a list in pages, as it is and compressed, as a kube-apiserver sends lists of more than 128 KB to
clients that accept it. Watches are never compressed. client-go lists in one page here, and accepts gzip by default.
CPU time, the runs interleaved, the least of two; of a list, the cost of a short one is subtracted.

Its bias: the clients' side only; a server pays for compression, too.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.api_replay import serving
from benchmarks.peers import go
from benchmarks.peers.building import MissingError
from benchmarks.peers.runs import KINFORMER, RIVAL, run
from benchmarks.progress import is_quick, step
from benchmarks.table import Row, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

OBJECTS: Final = 2000
FEW: Final = 50
EVENTS: Final = 6000
ROUNDS: Final = 2

# Which of the costs, whether over TLS, and arguments for the server.
WAYS: Final = {
    "an event, plain HTTP": ("event", False, ""),
    "an event, TLS": ("event", True, ""),
    "an object of a streamed list, plain HTTP": ("sync", False, ""),
    "an object of a streamed list, TLS": ("sync", True, ""),
    "an object of a list in pages": ("paged", False, ""),
    "an object of a list in pages, gzip": ("paged", False, "&gzip=1"),
}


@contextlib.contextmanager
def certificates() -> Iterator[tuple[Path, Path]]:
    """The file of an authority, and that of a certificate for 127.0.0.1 with its key."""
    import trustme

    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
        yield folder / "authority.pem", folder / "server.pem"


def _cost(client: str, way: tuple[str, bool, str], plain_url: str, tls_url: str, authority: Path) -> float:
    kind, tls, settings = way
    url, trusted = (tls_url, authority) if tls else (plain_url, None)
    if kind == "event":
        # All objects: the updates are of all, and the first one of an object that was not listed is an addition.
        return run(client, url, OBJECTS, EVENTS // (3 if is_quick() else 1), authority=trusted)["event"]
    streams = kind == "sync"
    found = [
        run(client, url, objects, 0, streams=streams, settings=settings, authority=trusted)["sync"]
        for objects in (FEW, OBJECTS)
    ]
    return (found[1] - found[0]) / (OBJECTS - FEW)


def main() -> list[Row]:
    """A row for each way."""
    least: dict[tuple[str, str], float] = {}
    why = ""
    total = int(EVENTS * 1.1) + 1
    encoded: Path | None = None
    step(0, 1, "rendering, building client-go")
    try:
        encoded = go.encoded(OBJECTS, total)
    except MissingError as error:
        why = str(error)
    rounds = 1 if is_quick() else ROUNDS
    runs = [(what, client) for _ in range(rounds) for what in WAYS for client in (KINFORMER, RIVAL)]
    with certificates() as (authority, certificate), contextlib.ExitStack() as stack:
        plain_url = stack.enter_context(serving(OBJECTS, total, encoded))
        tls_url = stack.enter_context(serving(OBJECTS, total, encoded, certificate))
        for done, (what, client) in enumerate(runs):
            step(done, len(runs), f"{client}: {what}")
            if client == RIVAL and why:
                continue
            try:
                found = _cost(client, WAYS[what], plain_url, tls_url, authority)
            except subprocess.SubprocessError as error:
                if client == KINFORMER:
                    raise
                why = str(error)[:160]
                continue
            least[what, client] = min(least.get((what, client), found), found)
    rows = []
    for what in WAYS:
        ours, theirs = least[what, KINFORMER], least.get((what, RIVAL))
        beside = f"client-go not measured: {why}" if theirs is None else f"client-go {theirs:.1f} µs"
        ratio = "" if theirs is None else f", {ours / theirs:.2f} ×"
        rows.append(Row(what, f"{ours:.1f} µs; {beside}{ratio}", number=ours))
    return rows


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
