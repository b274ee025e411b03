"""The command line: `kinformer demo | watch | get | top | ui | bench | serve-api`.

_app          the commands and their options (typer)      _session     errors, signals and the exit code of a command
_connect      which server a command talks to             _signals     Ctrl-C and SIGTERM
_watch        watch and get                               _columns     what a table shows where the server shows nothing
_printers     the forms in which objects are printed      _diff, _jsonpath, _secrets   parts of those
_top          how a running program is                    _completion  what Tab offers
_bench        what informers of a cluster cost           _bench_view  shows it
_demo         the demo from beginning to end              _tally       what the demo counts
_live         the demo's view in a terminal (rich)        _plain       the same as lines of text
_ui           the page in the browser
_changes      what changed, in a few words                _compare     is each cache equal to the server?
_cluster      writes a simulation to the embedded server  _simulation, _manifests   what happens in it
"""

from __future__ import annotations

import sys

__all__ = ["main"]

_EXTRA = {
    "typer": "cli",
    "rich": "cli",
    "click": "cli",
    "yaml": "cli",
    "starlette": "ui",
    "uvicorn": "ui",
}


def main() -> None:
    """The entry point of `kinformer` and `python -m kinformer`; ends the process."""
    try:
        from kinformer.cli._app import run

        code = run()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        sys.exit(f"kinformer: the command line needs {missing}; pip install 'kinformer[{_EXTRA[missing]}]'")
    except KeyboardInterrupt:
        # Ctrl-C before a command has begun to look for it itself.
        code = 130
    sys.exit(code)
