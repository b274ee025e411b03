"""A verb that a cached client passes on takes what the client's verb takes."""

from __future__ import annotations

import inspect

import pytest

from kinformer import Client
from kinformer.client._cached.forwarded import ForwardedVerbs

VERBS = sorted(name for name, member in vars(ForwardedVerbs).items() if inspect.iscoroutinefunction(member))


def parameters(owner: type, verb: str) -> list[tuple[str, object, object]]:
    """The names, kinds and defaults of the parameters of a verb, in their order."""
    signature = inspect.signature(getattr(owner, verb))
    return [(one.name, one.kind, one.default) for one in signature.parameters.values()]


@pytest.mark.parametrize("verb", VERBS)
def test_each_parameter_of_the_clients_verb_is_there_with_its_default(verb: str) -> None:
    assert parameters(ForwardedVerbs, verb) == parameters(Client, verb)


@pytest.mark.parametrize("verb", VERBS)
async def test_each_argument_reaches_the_client_as_it_is(verb: str) -> None:
    passed: list[tuple[tuple[object, ...], dict[str, object]]] = []

    class Recording:
        def __getattr__(self, called: str) -> object:
            async def record(*args: object, **options: object) -> object:
                assert called == verb
                passed.append((args, options))
                return answer

            return record

    answer = object()
    own = list(inspect.signature(getattr(ForwardedVerbs, verb)).parameters.values())[1:]
    given = {one.name: object() for one in own}
    positional = [given[one.name] for one in own if one.kind is not one.KEYWORD_ONLY]
    options = {one.name: given[one.name] for one in own if one.kind is one.KEYWORD_ONLY}
    result = await getattr(ForwardedVerbs(Recording()), verb)(*positional, **options)  # type: ignore[arg-type]
    assert result is answer
    assert passed == [(tuple(positional), options)]
