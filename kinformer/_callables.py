"""Functions that users give, checked where they are given: an error at the first event comes too late."""

from __future__ import annotations

import inspect

__all__ = ["check_function"]


def check_function(what: str, function: object, *arguments: str) -> None:
    """Refuse an object that is no function, or a function that cannot be called with these arguments.

    A function that has no readable signature (some builtins) is accepted.

    Args:
        what: the name of the parameter, for the error: "on_update", "index 'node'".
        function: the function to check.
        *arguments: the names of the positional arguments of each call, for the error.

    Raises:
        TypeError: it cannot be called so. The message names the arguments of each call and those of the function.
    """
    if not callable(function):
        msg = f"{what} must be a function of ({', '.join(arguments)}), not {type(function).__name__}"
        raise TypeError(msg)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        name = getattr(function, "__qualname__", type(function).__qualname__)
        takes = ", ".join(map(str, signature.parameters.values()))
        msg = f"{what} is called with ({', '.join(arguments)}), but {name} takes ({takes}): {error}"
        raise TypeError(msg) from None
