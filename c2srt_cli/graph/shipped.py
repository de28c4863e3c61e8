"""The graphs that come with c2srt, usable by name."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def shipped() -> dict[str, Path]:
    """The shipped graphs: name → file.

    A wheel holds them inside the package, an editable install reads the folder beside it.
    """
    folders = _PACKAGE / "graphs", _PACKAGE.parent / "graphs"
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.json"))}
