"""The cells that the rows of tables have, kind by kind (pkg/printers/internalversion/printers.go).

The columns themselves are generated: `schemas/archive.py` has them.
"""

from __future__ import annotations

from typing import Final

from kinformer.testing._apiserver.http.cells import core, newer, policies, storage, workloads
from kinformer.testing._apiserver.http.cells.rows import CellsOf, Row, age

__all__ = ["CELLS", "CELLS_OF_RELEASE", "Row", "age"]

CELLS: Final[dict[tuple[str, str], CellsOf]] = (
    core.CELLS | workloads.CELLS | storage.CELLS | policies.CELLS | newer.CELLS
)
"""By group and plural, the function that makes the cells of a row, in the order of the columns."""

CELLS_OF_RELEASE: Final[dict[str, dict[tuple[str, str], CellsOf]]] = {"1.37": newer.CELLS_OF_1_37}
"""By release, the functions of resources whose columns differ there from those in `CELLS`."""
