"""All methods by name. Their modules, and torch, are read once one of them is asked for."""

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING

from c2srt_cli.errors import UsageError, meant

if TYPE_CHECKING:
    from c2srt_cli.methods.method import Method


class Registry(MutableMapping[str, "type[Method]"]):
    """Methods by name: those of this package by where they stand, and others that are put in."""

    def __init__(self, own: dict[str, str]) -> None:
        self._places: dict[str, str | type[Method]] = dict(own)

    def __getitem__(self, name: str) -> "type[Method]":
        found = self._places[name]
        if isinstance(found, str):
            module, _, kind = found.partition(":")
            found = self._places[name] = getattr(import_module(f"c2srt_cli.methods.{module}"), kind)
        return found

    def __setitem__(self, name: str, method: "type[Method]") -> None:
        self._places[name] = method

    def __delitem__(self, name: str) -> None:
        del self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def find(self, name: str) -> "type[Method]":
        """A method.

        Raises:
            UsageError: there is none of that name.
        """
        if name not in self:
            raise UsageError(f"there is no method {name!r}{meant(name, self)}", hint=f"use {', '.join(self)}")
        return self[name]


METHODS = Registry(
    {
        "zero-shot": "zero_shot:ZeroShot",
        "clip-ft": "clip_ft:ClipFT",
        "mkt": "mkt:MKT",
        "mkt-prompt": "mkt_prompt:MKTPrompt",
        "label-propagation": "label_propagation:LabelPropagation",
        "c2srt": "c2srt:C2SRT",
        "ram": "ram:RAM",
    }
)

#: What `train` takes where no method is named.
DEFAULT = "c2srt"
