"""Compares the two servers.

python -m tests.apiserver.parity record            # ask a real kube-apiserver, and keep its answers
python -m tests.apiserver.parity show [TEXT]       # ask the embedded one, and print what differs; only titles with TEXT
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections import Counter

import aiohttp

from kinformer.testing import ApiServer, ControlPlane
from tests.apiserver.parity.exchange import Answer, ask, compared, differences, read_record, write_record
from tests.apiserver.parity.sequences import all_requests


async def embedded() -> dict[str, Answer]:
    """Return the answers of the embedded server."""
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as http:
        return await ask(http, all_requests())


RELEASE = "1.36"
"""Of the recording, and of `ApiServer` by default."""


class OtherReleaseError(Exception):
    """The real server that is here is of another release than the recording."""


async def real() -> dict[str, Answer]:
    """Return the answers of a real server.

    Raises:
        OtherReleaseError: it is of another release than the recording.
    """
    async with ControlPlane() as plane:
        if not plane.version.startswith(f"v{RELEASE}."):
            msg = f"the recording is of Kubernetes {RELEASE}, and this server has {plane.version}"
            raise OtherReleaseError(msg)
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=plane.ca_file))
        headers = {"Authorization": f"Bearer {plane.token}"}
        async with aiohttp.ClientSession(plane.url, headers=headers, connector=connector) as http:
            return await ask(http, all_requests())


def show(text: str) -> None:
    """Print what differs."""
    theirs, ours = read_record(), asyncio.run(embedded())
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
    if sys.argv[1] == "record":
        write_record(asyncio.run(real()))
    else:
        show(sys.argv[2] if len(sys.argv) > 2 else "")
