"""Dependencies whose informer exists for the requests that need it: its scope is a dependency, too."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from typing import Annotated, Any

from fastapi import Depends, HTTPException

from kinformer.errors import CacheSyncError, NotStartedError, StoppedError

__all__ = ["used_by_request"]


def used_by_request(
    plural: str,
    scope: Callable[..., Any],
    use: Callable[[Any], AbstractAsyncContextManager[Any]],
    given: Callable[[Any], Any],
) -> Callable[..., AsyncGenerator[Any]]:
    """Return a dependency with what a request gets of an informer, which is in use until the request is over.

    Args:
        plural: name of the resource.
        scope: a dependency that returns the scope of a request.
        use: begins a use of the informer of a scope.
        given: returns what the request gets, such as the lister of the informer.
    """
    scope_of_request = _refusing(scope)

    async def used(scope: Annotated[Any, Depends(scope_of_request)]) -> AsyncGenerator[Any]:
        async with AsyncExitStack() as uses:
            try:
                informer = await uses.enter_async_context(use(scope))
            except CacheSyncError as error:
                # Its cause can name the service account, which is not for the public.
                raise _unavailable(f"the cache of {plural} is not in sync yet") from error
            except (NotStartedError, StoppedError) as error:
                raise _unavailable(str(error)) from error
            yield given(informer)

    return used


def _unavailable(why: str) -> HTTPException:
    return HTTPException(status_code=503, detail=why, headers={"Retry-After": "1"})


def _refusing(scope: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same dependency, whose `ValueError` is an answer with status 400."""

    async def awaited(*args: Any, **values: Any) -> Any:
        with _bad_request():
            return await scope(*args, **values)

    def called(*args: Any, **values: Any) -> Any:
        with _bad_request():
            return scope(*args, **values)

    refusing: Callable[..., Any] = awaited if inspect.iscoroutinefunction(scope) else called
    functools.update_wrapper(refusing, scope)
    # Evaluated here: older versions of FastAPI look for the names of annotations in this module.
    refusing.__signature__ = inspect.signature(scope, eval_str=True)  # type: ignore[attr-defined]
    return refusing


@contextmanager
def _bad_request() -> Generator[None]:
    try:
        yield
    except ValueError as error:
        raise HTTPException(status_code=400, detail=str(error)) from error
