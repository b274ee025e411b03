"""Run every benchmark, one after the other, and write docs/benchmarks.md: `python -m benchmarks [--no-report]`."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import fan_out, growth, imports, ingest, memory, peers, stall, sync
from benchmarks.table import Row, markdown, plain

REPORT = Path("docs/benchmarks.md")
QUESTIONS = (ingest, peers, sync, fan_out, growth, stall, memory, imports)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _rows(module: str) -> list[Row]:
    """The answer, from a process of its own: what one question leaves in the heap is not the next one's business."""
    program = f"import json\nfrom {module} import main\nprint(json.dumps(main()))"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    return [Row(*row) for row in json.loads(done.stdout.splitlines()[-1])]


def main(report: bool) -> None:
    sections = []
    for module in QUESTIONS:
        text = (module.__doc__ or "").strip()
        question, _, rest = text.partition("\n\n")
        question = question.removeprefix("Question: ")
        print(question)
        rows = _rows(module.__name__)
        print(plain(rows) + "\n", flush=True)
        sections.append(f"## {question}\n\n{rest}\n\n{markdown(rows)}\n\n`python -m {module.__name__}`\n")
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("kinformer", "aiohttp", "msgspec", "kubernetes_asyncio")
    )
    head = f"""# Benchmarks

Measured by `make bench`, which writes this page: {datetime.now(UTC):%Y-%m-%d}, {_processor()},
Python {platform.python_version()}, {versions}. CPU time of one process, the best of several
runs; ratios to something measured in the same run say more than times. Targets are those the project has set itself;
what is not reached says so, and [design note 0005](design/0005-the-hot-path.md) says why. client-go is not
measured here yet.
"""
    if report:
        REPORT.write_text(head + "\n" + "\n".join(sections))
        print(f"wrote {REPORT}")


if __name__ == "__main__":
    main(report="--no-report" not in sys.argv)
