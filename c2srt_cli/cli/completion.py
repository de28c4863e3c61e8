"""Names that the shell offers: of shipped graphs, of methods, of backbones. What asks for them waits, so no torch.

Where none begins as what is typed, shells offer files.
"""

from c2srt_cli.methods.registry import METHODS


def graphs(incomplete: str) -> list[str]:
    """The graphs that come with c2srt."""
    from c2srt_cli.graph.shipped import shipped

    return [name for name in shipped() if name.startswith(incomplete)]


def methods(incomplete: str) -> list[str]:
    """Every method."""
    return [name for name in METHODS if name.startswith(incomplete)]


def trained_methods(incomplete: str) -> list[str]:
    """The methods that `c2srt train` knows."""
    return [name for name in methods(incomplete) if name != "zero-shot"]


def untrained_methods(incomplete: str) -> list[str]:
    """The methods that need no run."""
    return [name for name in methods(incomplete) if name == "zero-shot"]


def backbones(incomplete: str) -> list[str]:
    """What ``--backbone`` takes by name, as far as it is on this machine."""
    return [name for name in ("auto", "mini", *_fetched()) if name.startswith(incomplete)]


def fetchable(incomplete: str) -> list[str]:
    """What `c2srt fetch` takes: purposes, and the backbones that are on this machine."""
    from c2srt_cli.backbone.purposes import PURPOSES

    return [name for name in (*PURPOSES, *_fetched()) if name.startswith(incomplete)]


def _fetched() -> list[str]:
    from c2srt_cli.backbone.names import fetched

    return [record.spec for record in fetched()]
