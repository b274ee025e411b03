"""Record what client-go makes of each kubeconfig of the corpus: `python -m tests.peers.clientcmd.record`, with Go.

Run it after a change of the corpus or of the version in `go.mod`; review the difference in tests/data/kubeconfigs.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

from tests.paths import DATA
from tests.unit.config.kubeconfig_corpus import CERTIFICATE, CORPUS, KEY, written

HERE = Path(__file__).parent


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        program = folder / "clientcmd"
        subprocess.run(["go", "build", "-o", program, "."], cwd=HERE, check=True)
        lines = [os.pathsep.join(map(str, written(folder / str(place), case))) for place, case in enumerate(CORPUS)]
        env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        ran = subprocess.run([program], input="\n".join(lines), capture_output=True, text=True, env=env, check=True)
        verdicts = {
            case: _without_own(json.loads(line), str(folder / str(place)))
            for place, (case, line) in enumerate(zip(CORPUS, ran.stdout.splitlines(), strict=True))
        }
    (DATA / "kubeconfigs.json").write_text(json.dumps(verdicts, indent=1, sort_keys=True) + "\n")


def _without_own(verdict: dict[str, object], folder: str) -> dict[str, object]:
    """A verdict without all that another recording would have otherwise."""
    text = json.dumps({name: value for name, value in verdict.items() if value})
    for own, placeholder in ((folder, "DIR"), (CERTIFICATE, "CERTIFICATE"), (KEY, "KEY")):
        text = text.replace(json.dumps(own)[1:-1], placeholder)
    result: dict[str, object] = json.loads(text)
    return result


if __name__ == "__main__":
    main()
