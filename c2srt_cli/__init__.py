"""c2srt: open-vocabulary multi-label image recognition, from the command line and from Python.

``import c2srt_cli`` imports nothing heavy: what the names below stand for is loaded when they are first used.
"""

TYPE_CHECKING = False  # as type checkers read it, without importing typing, which is most of the time

__version__ = "0.1.0"

__all__ = [
    "Annotations",
    "CategoryGraph",
    "Label",
    "LabelSet",
    "Tagger",
    "__version__",
    "embed",
    "evaluate",
    "learn",
    "read_annotations",
    "read_graph",
    "train",
]

if TYPE_CHECKING:
    from c2srt_cli.api import (
        Annotations,
        CategoryGraph,
        Label,
        LabelSet,
        Tagger,
        embed,
        evaluate,
        learn,
        read_annotations,
        read_graph,
        train,
    )


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from c2srt_cli import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
