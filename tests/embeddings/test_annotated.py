import shutil
from pathlib import Path

import numpy as np
import pytest
from photos import write_photos
from safetensors.torch import load_file
from stored import stored_rows

from c2srt_cli.datasets.annotations import Annotations, Incidence, write_annotations
from c2srt_cli.embeddings.embed import EmbedOptions, EmbedResult, embed, prepare_embedding
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.progress import Progress

PATHS = ("in/p0002.png", "p0001.png", "gone.png", "p0000.png")
LABELS = LabelSet((Label("cat"), Label("dog")))


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Annotations of three images and one that is not there; another image is not annotated."""
    write_photos(tmp_path / "photos", 2)
    write_photos(tmp_path / "photos/in", 2, start=2)
    content = Annotations(
        tmp_path / "photos",
        LABELS,
        np.array([True, False]),
        PATHS,
        np.array(["train", "train", "test", "test"]),
        Incidence.from_lists([[0], [1], [0, 1], []]),
        Incidence.empty(4),
        complete=True,
        dataset="table",
    )
    write_annotations(tmp_path / "a", content, {})
    return tmp_path / "a"


def run(annotations: Path, tiny: str, **options: object) -> EmbedResult:
    out = annotations.parent / "e"
    machine = Machine(precision="float32", batch=3, workers=1)
    wanted = EmbedOptions((), out, annotations=annotations, backbone=tiny, machine=machine, **options)  # type: ignore[arg-type]
    return embed(prepare_embedding(wanted, Progress()), Progress())


def test_exactly_what_is_listed_under_its_path(annotations: Path, tiny: str) -> None:
    result = run(annotations, tiny)
    assert (result.total, result.encoded) == (4, 3)
    assert [(row.path, row.reason) for row in result.failures] == [("gone.png", "missing")]
    store = Store.open(annotations.parent / "e")
    assert {row.path for row in stored_rows(store)} == set(PATHS)
    assert store.manifest["options"]["root"] == str(annotations.parent / "photos")
    text = load_file(annotations.parent / "e/text.safetensors")["text"]
    assert (tuple(text.shape), store.manifest["inputs"]) == ((2, 32), {"labels": LABELS.fingerprint})


def test_what_turns_up_later_is_added(annotations: Path, tiny: str) -> None:
    run(annotations, tiny)
    assert run(annotations, tiny).encoded == 0
    shutil.copy(annotations.parent / "photos/p0000.png", annotations.parent / "photos/gone.png")
    result = run(annotations, tiny)
    assert (result.encoded, result.failures) == (1, ())
    assert Store.open(annotations.parent / "e").verify() == 4


def test_other_labels(annotations: Path, tiny: str) -> None:
    labels = annotations.parent / "labels.txt"
    labels.write_text("one\ntwo\nthree\n")
    run(annotations, tiny, labels=labels)
    assert load_file(annotations.parent / "e/text.safetensors")["text"].shape[0] == 3


def test_none_is_there(annotations: Path, tiny: str) -> None:
    shutil.rmtree(annotations.parent / "photos")
    with pytest.raises(InputError, match="none of the 4 annotated images") as refused:
        run(annotations, tiny)
    assert refused.value.where == str(annotations.parent / "photos")
    assert "--root" in str(refused.value.hint)


def test_a_library_that_has_moved(annotations: Path, tiny: str) -> None:
    run(annotations, tiny)
    (annotations.parent / "photos").rename(annotations.parent / "moved")
    result = run(annotations, tiny, root=annotations.parent / "moved")
    assert (result.total, result.encoded) == (4, 0)
    assert Store.open(annotations.parent / "e").options.root == str(annotations.parent / "moved")


def test_either_images_or_annotations(annotations: Path, tiny: str) -> None:
    for options in (
        EmbedOptions((), annotations.parent / "e", backbone=tiny),
        EmbedOptions((str(annotations),), annotations.parent / "e", annotations=annotations, backbone=tiny),
    ):
        with pytest.raises(UsageError, match="either images or --annotations"):
            prepare_embedding(options, Progress())
    with pytest.raises(InputError):
        prepare_embedding(EmbedOptions((), annotations, annotations=annotations.parent, backbone=tiny), Progress())
