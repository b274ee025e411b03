"""Plays hundreds of thousands of random schedules, with a seed that no run had before: `make soak`.

    python -m tests.soak [--seed 4711] [--share 0.1] [watch-faults scopes ...]

It goes on after a part that fails. At the end it names the seed, and for each such part the command that plays exactly
the same schedules again. The last part runs in real time, so no seed can repeat it. The output of each part is in
`build/soak/`. Exits with 1 if a part failed.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FOLDER = Path("build/soak")

_TIME_LIMIT = "14400"
"""Seconds of one test: a part of the schedules."""


@dataclass(frozen=True)
class Part:
    """A part of the soak.

    Attributes:
        name: its name on the command line.
        tests: the tests, as pytest takes them; none for the part in real time.
        count: the number of schedules.
        variable: the variable in which the tests take that number; "" if they take none.
        processes: the processes of pytest-xdist.
    """

    name: str
    tests: tuple[str, ...] = ()
    count: int = 0
    variable: str = ""
    processes: str = "auto"

    def command(self, seed: int) -> list[str]:
        """Return the command, without its variables."""
        if not self.tests:
            return [sys.executable, "-m", "benchmarks.soak"]
        options = ["-q", "-n", self.processes, "--timeout", _TIME_LIMIT]
        examples = ["--hypothesis-profile", "random", "--hypothesis-seed", str(seed)]
        return [sys.executable, "-m", "pytest", *options, *examples, *self.tests]

    def variables(self, seed: int, share: float) -> dict[str, str]:
        """Return the variables of its environment."""
        if not self.variable:
            return {}
        return {"KINFORMER_SEED": str(seed), self.variable: str(max(1, round(self.count * share)))}

    def replay(self, seed: int, share: float) -> str:
        """Return the command as a person types it."""
        variables = [f"{name}={value}" for name, value in self.variables(seed, share).items()]
        return " ".join([*variables, *map(shlex.quote, ["python", *self.command(seed)[1:]])])


PARTS = (
    Part("examples", ("-m", "hypothesis and not real")),
    Part("watch-faults", ("tests/properties/test_watch_faults.py",), 20_000, "KINFORMER_WATCH_FAULTS"),
    Part("http", ("tests/unit/client/http/test_parser_against_llhttp.py",), 100_000, "KINFORMER_HTTP_CASES", "0"),
    Part("containments", ("tests/unit/client/cached/test_containment.py",), 10_000, "KINFORMER_CONTAINMENTS"),
    Part("applies", ("tests/unit/client/cached/test_apply_records.py",), 1000, "KINFORMER_APPLY_SEQUENCES"),
    Part("bulk", ("tests/apiserver/test_bulk.py",), 2000, "KINFORMER_BULK_PODS", "0"),
    Part("scopes", ("tests/properties/test_scopes.py",), 10_000, "KINFORMER_SCOPE_SCHEDULES"),
    Part("cached-client", ("tests/properties/test_cached_client.py",), 5000, "KINFORMER_CACHED_SCHEDULES"),
    Part("controllers", ("tests/properties/test_controller_schedules.py",), 5000, "KINFORMER_SCHEDULES"),
    Part("shards", ("tests/properties/test_shard_schedules.py",), 10_000, "KINFORMER_SHARD_SCHEDULES"),
    Part("pipeline", ("tests/properties/test_pipeline.py",), 50_000, "KINFORMER_SCHEDULES"),
    Part("operator", ("tests/properties/test_operator.py",), 20_000, "KINFORMER_OPERATOR_SCHEDULES"),
    Part("real-time"),
)


def run(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
    """Run a command; write its output to a file, and return its exit code."""
    with log.open("w") as output:
        return subprocess.run(
            command, cwd=ROOT, env=os.environ | variables, stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode


@dataclass
class Soak:
    """One run of parts.

    Attributes:
        seed: the seed of all parts.
        share: the share of the schedules that are played.
        runs: runs a command with variables and a log; returns the exit code.
        folder: the place of the logs.
        failed: the parts that failed.
    """

    seed: int
    share: float = 1.0
    runs: Callable[[Sequence[str], dict[str, str], Path], int] = run
    folder: Path = FOLDER
    failed: list[Part] = field(default_factory=list)

    def play(self, parts: Sequence[Part], out: TextIO) -> int:
        """Run parts one after the other, and return the exit code of the whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        print(f"seed {self.seed}", file=out, flush=True)
        for part in parts:
            log = self.folder / f"{part.name}.log"
            began = time.monotonic()  # noqa: TID251 - the duration is shown, and no test of it
            code = self.runs(part.command(self.seed), part.variables(self.seed, self.share), log)
            minutes = (time.monotonic() - began) / 60  # noqa: TID251
            verdict = "ok" if code == 0 else f"FAILED ({code})"
            print(f"{part.name:14} {minutes:6.1f} min  {verdict:12} {log}", file=out, flush=True)
            if code:
                self.failed.append(part)
                last = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
                print(*(f"    {line}" for line in last), sep="\n", file=out, flush=True)
        for part in self.failed:
            print(f"again: {part.replay(self.seed, self.share)}", file=out)
        return 1 if self.failed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that the command line names, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=None, help="play the schedules of an earlier run again")
    parser.add_argument("--share", type=float, default=1.0, help="play this share of the schedules")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(part.name for part in PARTS))
    given = parser.parse_args(arguments)
    by_name = {part.name: part for part in PARTS}
    unknown = [name for name in given.parts if name not in by_name]
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(by_name)}")
    seed = random.SystemRandom().randrange(1, 1_000_000) if given.seed is None else given.seed
    return Soak(seed, given.share).play([by_name[name] for name in given.parts] or PARTS, sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
