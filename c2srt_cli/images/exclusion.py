"""What a search for photographs passes over: folders that hold none, what the user excludes, and what is said of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pathspec import GitIgnoreSpec

from c2srt_cli.errors import UsageError
from c2srt_cli.images.formats import extra_of

#: Folders in which systems and programs keep copies, thumbnails and what was thrown away, in lower case.
_NOT_PHOTOGRAPHS = r"""
    @eadir/ \#recycle/ \#snapshot/ @tmp/ @recycle/ @recently-snapshot/ @__thumb/ .@__thumb/ .snapshot/ .zfs/
    $recycle.bin/ recycler/ recycled/ system?volume?information/ .trash*/ lost+found/
    __macosx/ .appledouble/ .spotlight-v100/ .fseventsd/ .documentrevisions-v100/
    .dtrash/ .thumbnails/ .picasaoriginals/ .photoprism/ appdata_*/ *.lrdata/ c2srt-thumbs/
""".split()  # noqa: SIM905
#: Of these only the folders of originals are searched; the rest is thumbnails and what was derived.
_LIBRARIES = (".photoslibrary", ".photolibrary", ".aplibrary")
_ORIGINALS = ("originals", "masters")
#: Names that the line names one by one.
_MOST_NAMES = 6


class Exclusion:
    """Which entries below a searched folder are left out.

    Entries of a folder that is left out are never asked for, so each is asked for by itself, not by what it lies in.

    Args:
        patterns: The user's, in gitignore form, relative to the folder; ``!`` takes back, also a default.

    Raises:
        UsageError: one is no pattern.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._defaults = GitIgnoreSpec.from_lines(_NOT_PHOTOGRAPHS)
        self._own: list[tuple[str, GitIgnoreSpec]] = []
        for text in patterns:
            try:
                spec = GitIgnoreSpec.from_lines([text])
            except ValueError as error:
                raise UsageError(f"not a pattern: {error}", where=f"--exclude {text!r}") from None
            self._own.append((text.strip().removeprefix("!").rstrip("/"), spec))

    def by_user(self, relative: str) -> bool | None:
        """Whether the user leaves an entry out (True), wants it (False), or says nothing of it (None).

        Args:
            relative: Path below the searched folder, ``/`` between its parts and behind a folder.
        """
        for text, spec in reversed(self._own):
            subject = relative
            if "/" not in text:  # a name, wherever it stands
                subject = relative[relative.rstrip("/").rfind("/") + 1 :]
            elif "**" not in text and text.strip("/").count("/") != relative.rstrip("/").count("/"):
                continue  # matches what this lies in, if anything
            wish = spec.check_file(subject).include
            if wish is not None:
                return wish
        return None

    def by_default(self, parent: str, name: str) -> bool:
        """Whether a folder is none of photographs, by its name and that of the folder which it lies in."""
        if parent.lower().endswith(_LIBRARIES):
            return name.lower() not in _ORIGINALS
        return bool(self._defaults.check_file(f"{name.lower()}/").include)


@dataclass(slots=True)
class LeftOut:
    """What a search has passed over, by what it was.

    Attributes:
        suffixes: Pictures of formats that are not read.
        folders: Folders that are not of photographs, and hidden ones, by name.
        hidden: Pictures whose names begin with a dot.
        excluded: What the user has excluded.
    """

    suffixes: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    excluded: int = 0

    def __str__(self) -> str:
        """One line; empty where nothing was passed over."""
        parts = []
        if self.suffixes:
            counted = [f"{count:,} {suffix}" for suffix, count in sorted(self.suffixes.items(), key=_most_first)]
            extras = sorted({extra for suffix in self.suffixes if (extra := extra_of(suffix))})
            install = f"; to read more: pip install 'c2srt[{','.join(extras)}]'" if extras else ""
            parts.append(f"{', '.join(counted)} (not read{install})")
        if self.hidden:
            parts.append(f"{self.hidden:,} hidden picture{'s' * (self.hidden > 1)}")
        if self.folders:
            ordered = sorted(self.folders.items(), key=_most_first)
            names = [name + (f" ({count:,})" if count > 1 else "") for name, count in ordered[:_MOST_NAMES]]
            rest = sum(count for _, count in ordered[_MOST_NAMES:])
            folders = "folder" + "s" * (self.folders.total() > 1)
            parts.append(f"{folders} {', '.join(names)}" + (f" and {rest:,} more" if rest else ""))
        if self.excluded:
            parts.append(f"{self.excluded:,} by --exclude")
        return "left out: " + "; ".join(parts) if parts else ""


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
