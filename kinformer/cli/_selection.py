"""The objects of a command: a resource as kubectl names it, one or all namespaces, selectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kinformer.cli._session import UsageProblem
from kinformer.errors import SelectorError
from kinformer.labels import FieldSelector, LabelSelector

if TYPE_CHECKING:
    from kinformer.client import Client
    from kinformer.resources import Resource

__all__ = ["Selection"]


@dataclass(frozen=True, slots=True)
class Selection:
    """The options that select objects.

    Attributes:
        namespace: the namespace; by default that of the context.
        all_namespaces: select from all namespaces.
        label_selector: a selector as in kubectl.
        field_selector: a selector as in kubectl.

    Raises:
        UsageProblem: a selector does not parse, or a namespace comes with `all_namespaces`.
    """

    namespace: str = ""
    all_namespaces: bool = False
    label_selector: str = ""
    field_selector: str = ""

    def __post_init__(self) -> None:
        if self.namespace and self.all_namespaces:
            raise UsageProblem("-n names one namespace and -A means all of them; give one")
        try:
            LabelSelector.parse(self.label_selector)
            FieldSelector.parse(self.field_selector)
        except SelectorError as error:
            raise UsageProblem(str(error)) from error

    async def resolved(
        self, client: Client, name: str, *, watched: bool = False, strict: bool = True
    ) -> tuple[Resource, str | None]:
        """Find a resource, and the namespace to ask for; `None` means all, or that the resource has no namespaces.

        Args:
            client: knows the server's resources, and the namespace of the context.
            name: the resource as kubectl names it.
            watched: the resource is to be watched.
            strict: refuse a namespace for a cluster-scoped resource; else it does not apply.

        Raises:
            UnknownResourceError: the server has no such resource.
            UsageProblem: the resource cannot be watched, or is cluster-scoped and `strict`.
        """
        resource = await client.resolve(name)
        if watched and not resource.watchable:
            raise UsageProblem(f"{resource.full_name} cannot be watched")
        if not resource.namespaced:
            if self.namespace and strict:
                raise UsageProblem(f"{resource.qualified} are cluster-scoped; leave -n {self.namespace} out")
            return resource, None
        return resource, None if self.all_namespaces else self.namespace or client.config.namespace
