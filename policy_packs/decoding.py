"""What the engine sends, decoded once instead of once a policy.

pulumi-policy 1.21 decodes the same message for each policy of a pack: with hundreds of policies and resources that is
most of the time of a preview. Outside of remedies what it makes of a message is only read, so it can be shared. The
package is pinned; should its inside change, nothing is shared and nothing breaks, and the tests of served packs tell.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from pulumi_policy import policy

_KEPT_MAX: Final = 10_000  # messages of one stack; beyond that they are decoded anew
_NAMES: Final = ("json_format", "deserialize_properties", "unknown_checking_proxy")


class _Once:
    """A function of one object, called once for each object: an object that is held stays what it is."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._made: OrderedDict[int, tuple[Any, Any]] = OrderedDict()
        self._results: set[int] = set()

    def __call__(self, given: Any) -> Any:
        found = self._made.get(id(given))
        if found is None:
            found = given, self._function(given)
            self._made[id(given)] = found
            self._results.add(id(found[1]))
            if len(self._made) > _KEPT_MAX:
                _, (_, dropped) = self._made.popitem(last=False)
                self._results.discard(id(dropped))
        return found[1]

    def has_made(self, result: Any) -> bool:
        return id(result) in self._results


def share_decoding() -> None:
    """For every pack of this process; once."""
    inside = vars(policy)
    if not all(name in inside for name in _NAMES) or isinstance(inside["json_format"], SimpleNamespace):
        return
    json_format, deserialize, proxy = (inside[name] for name in _NAMES)
    decoded, deserialized, proxied = _Once(json_format.MessageToDict), _Once(deserialize), _Once(proxy)

    def deserialize_properties(properties: Any, proxy_secrets: bool = False) -> Any:
        """A remedy changes what it is given: that is its own."""
        return deserialize(properties, True) if proxy_secrets else deserialized(properties)

    def unknown_checking_proxy(properties: Any) -> Any:
        return proxied(properties) if deserialized.has_made(properties) else proxy(properties)

    shared = SimpleNamespace(**{**vars(json_format), "MessageToDict": decoded})
    inside.update(
        json_format=shared, deserialize_properties=deserialize_properties, unknown_checking_proxy=unknown_checking_proxy
    )
