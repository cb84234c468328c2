"""Pods that run a model: how they are known, and what their vLLM is told by flags and variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from policy_packs.kubernetes_workload import Container, Pod
from policy_packs.tristate import Truth, any_of
from policy_packs.view import MISSING, UNKNOWN, View

_ACCELERATORS: Final = r"nvidia\.com/(gpu|mig-).*|amd\.com/gpu|aws\.amazon\.com/neuron.*"
_SERVERS: Final = "vllm|text-generation-inference|tritonserver|ollama|sglang"
_VLLM_WORD: Final = r"(.*/)?vllm(\..+)?"


def is_model_pod(pod: Pod) -> Truth:
    """Whether it takes a GPU or Neuron device, or runs an image of a known model server."""
    return any_of(*(any_of(_takes_device(one), _runs(one, _SERVERS)) for one in pod.containers()))


def devices(pod: Pod) -> Iterator[str]:
    """Names of the devices that are certainly asked for."""
    for amounts in (one for container in pod.containers() for one in _amounts(container)):
        yield from _device_names(amounts)


def _takes_device(container: Container) -> Truth:
    amounts = _amounts(container)
    if any(name for one in amounts for name in _device_names(one)):
        return Truth.YES
    return Truth.UNKNOWN if any(one.is_unknown for one in amounts) else Truth.NO


def _amounts(container: Container) -> tuple[View, ...]:
    return tuple(container.at(f"resources.{kind}") for kind in ("requests", "limits"))


def _device_names(amounts: View) -> list[str]:
    content = amounts.value if isinstance(amounts.value, Mapping) else {}
    return [
        name for name, amount in content.items() if re.fullmatch(_ACCELERATORS, str(name)) and amount not in ("0", 0)
    ]


def _runs(container: Container, servers: str) -> Truth:
    """By the last part of the image's name: what stands before it is a registry's business."""
    return container.at("image").matches(rf"(.*/)?[^/@]*({servers})[^/]*")


def is_vllm(container: Container) -> Truth:
    """By its image, or by the program that is started."""
    line = CommandLine.of(container)
    return any_of(_runs(container, "vllm"), line.any_word(_VLLM_WORD))


@dataclass(frozen=True)
class CommandLine:
    """Command and arguments of a container, word by word, as a shell would give them."""

    words: tuple[str, ...]
    arguments: tuple[str, ...]
    is_unclear: bool
    path: str

    @classmethod
    def of(cls, container: Container) -> CommandLine:
        command, arguments = container.at("command").items(), container.at("args").items()
        given = tuple(word for one in arguments for word in _words(one))
        words = tuple(word for one in command for word in _words(one)) + given
        return cls(words, given, any(one.is_unknown for one in (*command, *arguments)), container.at("args").path)

    def any_word(self, expression: str) -> Truth:
        return self._found(any(re.fullmatch(expression, word) for word in self.words))

    def has(self, flag: str) -> Truth:
        """Whether the flag stands there, with or without a value."""
        return self._found(any(_name(word) == flag for word in self.words))

    def value(self, flag: str) -> View:
        """What the flag says, the last time where it stands twice."""
        said = [self._said(index) for index, word in enumerate(self.words) if _name(word) == flag]
        return self._view(said[-1] if said else "")

    def model(self) -> View:
        """What is served: the flag, or the first word after `serve`; vLLM's arguments where a shell hands them on."""
        named = self.value("--model")
        if named.text:
            return named
        after = self.words[self.words.index("serve") + 1 :] if "serve" in self.words else ()
        first = self.arguments if after[:1] == ("$@",) else after
        return self._view(first[0] if first and not first[0].startswith("-") else "")

    def _said(self, index: int) -> str:
        _, sign, value = self.words[index].partition("=")
        following = self.words[index + 1 : index + 2]
        return value if sign else "".join(one for one in following if not one.startswith("--"))

    def _found(self, is_found: bool) -> Truth:
        return Truth.UNKNOWN if self.is_unclear and not is_found else Truth.of(is_found)

    def _view(self, text: str) -> View:
        absent = UNKNOWN if self.is_unclear else MISSING
        return View(text or absent, self.path)


def _words(part: View) -> list[str]:
    return [word.strip("\"'") for word in part.text.split()]


def _name(word: str) -> str:
    """The flag's name; vLLM takes underscores too."""
    return word.partition("=")[0].replace("_", "-") if word.startswith("--") else ""


def variable(container: Container, name: str) -> View:
    """The entry of `env`; the last one counts where a name stands twice."""
    entries = container.at("env").items()
    found = [one for one in entries if one.at("name").text == name]
    is_unclear = any(one.at("name").is_unknown for one in entries)
    absent = View(UNKNOWN if is_unclear else MISSING, container.at("env").path)
    return found[-1] if found else absent
