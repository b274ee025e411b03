"""Compares the two servers.

python -m tests.apiserver.parity record 1.36         # ask a real kube-apiserver, and keep its answers
python -m tests.apiserver.parity show 1.36 [TEXT]    # print what differs in the embedded one; only titles with TEXT
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

import aiohttp

from kinformer.testing import ApiServer
from tests.apiserver.parity.exchange import Answer, ask, compared, differences, read_record, write_record
from tests.apiserver.parity.sequences import all_requests
from tests.apiserver.real_server import real_server


async def embedded(release: str) -> dict[str, Answer]:
    """Return the answers of the embedded server."""
    async with ApiServer(version=release) as server, aiohttp.ClientSession(server.url) as http:
        return await ask(http, all_requests())


async def real(release: str | None = None) -> tuple[str, dict[str, Answer]]:
    """Return the release of a real server, and its answers; by default of the one that is installed."""
    async with real_server(release or "") as (plane, http):
        return plane.version.removeprefix("v").rpartition(".")[0], await ask(http, all_requests())


def show(release: str, text: str) -> None:
    """Print what differs."""
    theirs, ours = read_record(release), asyncio.run(embedded(release))
    result = compared(theirs, ours)
    for title in (*result.other_codes, *result.other_bodies):
        if text not in title:
            continue
        print(f"{title}: real {theirs[title][0]}, embedded {ours[title][0]}")
        if title in result.other_codes:
            for name, answer in (("real", theirs[title]), ("emb.", ours[title])):
                shown = answer[1].get("message", answer[1].get("kind")) if isinstance(answer[1], dict) else answer[1]
                print(f"    {name}: {shown}")
            continue
        for place, one, other in [*differences(theirs[title][1:], ours[title][1:])][:6]:
            print(f"    {place}\n        real {json.dumps(one)[:600]}\n        emb. {json.dumps(other)[:600]}")
    kinds = Counter(title.partition(":")[0] for title in (*result.other_codes, *result.other_bodies))
    print(", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
    print(
        f"{len(theirs)} requests: {len(result.same)} the same, {len(result.other_codes)} other codes "
        f"({len(result.taken)} taken that the real one refuses), {len(result.other_bodies)} other bodies"
    )


if __name__ == "__main__":
    command, release, *texts = sys.argv[1:]
    if command == "record":
        write_record(asyncio.run(real(release))[1], release)
    else:
        show(release, texts[0] if texts else "")
