"""Which photographs are learned from, before anything of them is looked at."""

from dataclasses import dataclass
from pathlib import Path

from c2srt_cli.embeddings.store import Store
from c2srt_cli.images import find_images
from c2srt_cli.labels import LabelSet
from c2srt_cli.learning.options import LearnOptions
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.model import open_embeddings


@dataclass(frozen=True)
class Photographs:
    """The photographs that the user names.

    Attributes:
        root: What their names are relative to.
        names: Theirs, of those that can be used.
        store: Their embeddings, where these were named.
    """

    root: Path
    names: list[str]
    store: Store | None

    @classmethod
    def open(cls, options: LearnOptions, progress: Progress) -> "Photographs":
        """Find them, or open their embeddings.

        Raises:
            InputError: they are missing or damaged.
            UsageError: there are other inputs beside embeddings.
        """
        store = open_embeddings(options.tagging(LabelSet(()), None))
        if store is not None:
            root = Path(store.options.root) if options.root is None else options.root.absolute()
            return cls(root, store.paths.to_pylist(), store)
        found = find_images(options.photos, exclude=options.exclude, root=options.root)
        if found.left_out:
            progress.note(found.left_out)
        return cls(found.root, [file.name for file in found.files], None)
