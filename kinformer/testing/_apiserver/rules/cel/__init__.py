"""The Common Expression Language (CEL), as CustomResourceDefinitions and policies of admission use it.

The types of an expression are checked when it is posted. A function that is not known here is refused then.
"""

from __future__ import annotations

from kinformer.testing._apiserver.rules.cel.checking import check_types, shown_type
from kinformer.testing._apiserver.rules.cel.evaluating import Expression, compile_expression
from kinformer.testing._apiserver.rules.cel.parsing import CompileError
from kinformer.testing._apiserver.rules.cel.values import EvaluationError, from_json

__all__ = [
    "CompileError",
    "EvaluationError",
    "Expression",
    "check_types",
    "compile_expression",
    "from_json",
    "shown_type",
]
