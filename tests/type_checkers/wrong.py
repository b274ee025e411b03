"""What type checkers must refuse; each line with `# error` is one refusal, and no other line is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from kinformer.resources import PODS
from tests.type_checkers import pod_dicts, pod_structs

if TYPE_CHECKING:
    from kinformer import KubeObject, SharedInformerFactory


class Pod(msgspec.Struct, frozen=True):
    replicas: int = 0


def takes_an_object(obj: KubeObject) -> None: ...


def use(factory: SharedInformerFactory) -> None:
    typed = factory.informer(PODS, type=Pod)
    typed.add_event_handler(on_add=takes_an_object)  # error
    for pod in typed.lister:
        print(pod.nothing_of_the_kind)  # error
    for made in factory.informer(PODS, type=pod_structs.Pod).lister:
        print(made.spec.nodeName)  # error
        print(made.spec.node_name.upper())  # error
    for plain in factory.informer(PODS, type=pod_dicts.Pod).lister:
        print(plain["spec"]["node_name"])  # error
    factory.informer(PODS).add_event_handler(on_update=takes_an_object)  # error
