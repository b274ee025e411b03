"""The command line; `_app.py` has the list of its commands.

_app          the command line as a whole                 _session     errors, signals and the exit code of a command
_commands/    arguments, options and help texts (click)   _connect     the server that a command uses
_client_imports  the client, imported at less cost
_no_authorities  imports of aiohttp without the certificates of the system
_targets      resources and names, as in kubectl          _sorting     the order of --sort-by
_get          kinformer get                               _watch       kinformer watch
_query        the objects to print, and the form          _selection   namespaces and selectors
_printers     the forms in which objects are printed      _jsonpath    templates of kubectl's dialect
_top          the status of a running program             _completion  the words that the shell offers for Tab
_bench        measures the cost of informers              _bench_view  shows the measurement
_ui           the page in the browser                     _serve       the embedded API server alone
_crd          CRDs of classes, as YAML                    _run         an operator, from a function
_init         the project of a new operator               _manifests   the files that deploy an operator
_escapes      control characters of foreign text          _units       sizes in words
_signals      Ctrl-C and SIGTERM

_simulated/   the demo: a simulated cluster (simulation, manifests), written to the embedded server (cluster), counted
              (tally), drawn (live, plain, view) and compared with its caches (compare)
"""

from __future__ import annotations

import gc
import sys

__all__ = ["main"]

_EXTRA = {
    "rich": "cli",
    "click": "cli",
    "yaml": "cli",
    "starlette": "ui",
    "uvicorn": "ui",
}


def main() -> None:
    """Run `kinformer` or `python -m kinformer`; ends the process."""
    # Imports make many objects and few cycles, so collections would be in vain. `run_command` turns them on again.
    gc.disable()
    try:
        from kinformer.cli._app import run

        code = run()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        sys.exit(f"kinformer: the command line needs {missing}; pip install 'kinformer[{_EXTRA[missing]}]'")
    except KeyboardInterrupt:
        # Ctrl-C before the command has installed its own handlers.
        code = 130
    sys.exit(code)
