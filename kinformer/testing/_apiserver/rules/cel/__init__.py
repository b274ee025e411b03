"""The Common Expression Language (CEL), as CustomResourceDefinitions use it in `x-kubernetes-validations`.

The language is evaluated without a type checker: an expression that has the wrong types fails when it is evaluated, and
not when its CRD is posted. A function that is not known here is refused when the CRD is posted.
"""

from __future__ import annotations

from kinformer.testing._apiserver.rules.cel.evaluating import Expression, compile_expression
from kinformer.testing._apiserver.rules.cel.parsing import CompileError
from kinformer.testing._apiserver.rules.cel.values import EvaluationError, from_json

__all__ = ["CompileError", "EvaluationError", "Expression", "compile_expression", "from_json"]
