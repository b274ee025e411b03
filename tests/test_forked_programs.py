"""Programs in forks behave as in interpreters of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.forked_programs import CAN_FORK, Ended, ForkedPrograms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="this system has no fork")


@pytest.fixture(scope="module")
def forked() -> Iterator[ForkedPrograms]:
    with ForkedPrograms("json", warnings="error") as programs:
        yield programs


def ended(forked: ForkedPrograms, folder: Path, program: str, **env: str) -> Ended:
    (folder / "program.py").write_text(program)
    return forked.run([str(folder / "program.py"), "x"], cwd=folder, env={"PATH": os.environ["PATH"]} | env, timeout=20)


def test_output_errors_and_exit_codes_are_those_of_the_program(forked: ForkedPrograms, tmp_path: Path) -> None:
    said = ended(forked, tmp_path, "import os, sys\nprint(os.getcwd(), sys.argv[1:], os.environ['A'])\n", A="1")
    assert said == Ended(0, f"{tmp_path} ['x'] 1\n", "")
    assert ended(forked, tmp_path, "import sys\nsys.exit(3)\n").code == 3
    failed = ended(forked, tmp_path, "raise ValueError('spoiled')\n")
    assert failed.code == 1
    assert "ValueError: spoiled" in failed.err
    assert (
        "DeprecationWarning" in ended(forked, tmp_path, "import warnings\nwarnings.warn('', DeprecationWarning)\n").err
    )
    assert ended(forked, tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n").code == -9


LEAVES_MUCH_TO_DO = """
import atexit, socket, sys, threading, time

class Cycle:
    def __init__(self):
        self.itself, self.socket = self, socket.socket()

cycle = Cycle()
late = threading.Thread(target=lambda: (time.sleep(0.01), print("thread")))
late.start()
atexit.register(print, "atexit")
"""


@pytest.mark.parametrize(("last", "code"), [("", 0), ("sys.exit()", 0), ("sys.exit(3)", 3)])
def test_a_program_ends_as_in_an_interpreter_of_its_own(
    forked: ForkedPrograms, tmp_path: Path, last: str, code: int
) -> None:
    said = ended(forked, tmp_path, LEAVES_MUCH_TO_DO + last)
    assert (said.code, said.out) == (code, "thread\natexit\n")
    assert "ResourceWarning: unclosed <socket" in said.err


def test_words_at_the_exit_are_an_error(forked: ForkedPrograms, tmp_path: Path) -> None:
    assert ended(forked, tmp_path, "import sys\nsys.exit('no such thing')\n") == Ended(1, "", "no such thing\n")


def test_the_encoding_of_the_output_can_be_chosen(forked: ForkedPrograms, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("print('\\xe9')\n")
    env = {"PYTHONIOENCODING": "latin-1"}
    ran = forked.run([str(tmp_path / "program.py")], cwd=tmp_path, env=env, encoding="latin-1", timeout=20)
    assert ran.out == "\xe9\n"


def test_programs_share_nothing(forked: ForkedPrograms, tmp_path: Path) -> None:
    ended(forked, tmp_path, "import json, os, sys\njson.spoiled = os.environ['B'] = 'yes'\nsys.path.clear()\n")
    program = "import json, os, sys\nprint(hasattr(json, 'spoiled'), 'B' in os.environ, bool(sys.path[1:]))\n"
    assert ended(forked, tmp_path, program).out == "False False True\n"


def test_a_module_is_found_in_the_working_directory_and_the_path_alone(forked: ForkedPrograms, tmp_path: Path) -> None:
    (tmp_path / "here.py").write_text("import sys, there\nprint(__name__, there.word, 'tests' in sys.modules)\n")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "there.py").write_text("word = 'found'\n")
    ran = forked.run(["-m", "here"], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "path")}, timeout=20)
    assert ran.out == "__main__ found False\n"
    assert "No module named 'there'" in forked.run(["-m", "here"], cwd=tmp_path, env={}, timeout=20).err


def test_a_program_that_does_not_end_is_killed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import time\ntime.sleep(600)\n")
    with ForkedPrograms() as forked:
        with pytest.raises(TimeoutError, match=r"no end within 0\.01 s"):
            forked.run([str(tmp_path / "program.py")], cwd=tmp_path, env={}, timeout=0.01)
        (tmp_path / "program.py").write_text("print(1)\n")
        assert forked.run([str(tmp_path / "program.py")], cwd=tmp_path, env={}, timeout=20).out == "1\n"


def test_the_interpreter_is_the_one_of_the_tests(forked: ForkedPrograms, tmp_path: Path) -> None:
    assert ended(forked, tmp_path, "import sys\nprint(sys.executable)\n").out == f"{sys.executable}\n"


def test_packages_are_found_where_an_interpreter_finds_them(forked: ForkedPrograms, tmp_path: Path) -> None:
    # The workers of pytest-xdist get this path; an editable install is on it.
    (tmp_path / "program.py").write_text("import sys\nprint(sorted({*sys.path}))\n")
    arguments = [str(tmp_path / "program.py")]
    alone = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert forked.run(arguments, cwd=tmp_path, env=dict(os.environ), timeout=20).out == alone.stdout
