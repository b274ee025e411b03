"""Runs the clients that are here, and fails if a number of tests/data/ratchets.json has fallen (`make foreign`)."""

from __future__ import annotations

import asyncio
import json
import sys

from tests.foreign import kubectl
from tests.paths import DATA


def main() -> int:
    """Run, and print a line for each client."""
    wanted = json.loads((DATA / "ratchets.json").read_text())
    if not kubectl.available():
        print("kubectl is not here: left out")
        return 0
    theirs, ours = kubectl.kept(), asyncio.run(kubectl.embedded())
    found = {
        "codes": sum(answer.code == ours[command].code for command, answer in theirs.items()),
        "texts": sum(answer == ours[command] for command, answer in theirs.items()),
    }
    print(
        f"kubectl: {len(theirs)} commands, {found['codes']} exit codes and {found['texts']} texts as on a real server"
    )
    worse = [name for name, number in found.items() if number < wanted["kubectl"][name]]
    if worse:
        print(f"fallen: {', '.join(worse)}; wanted: {wanted['kubectl']}; see python -m tests.foreign.kubectl show")
    return bool(worse)


if __name__ == "__main__":
    sys.exit(main())
