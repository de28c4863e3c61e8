"""Very wide photographs, by the API, tag, search and learn, against their tiles as photographs of their own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from photos import write_photos
from PIL import Image

from c2srt_cli import Tagger, embed
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.learning.examples import score
from c2srt_cli.methods.scores import Scores, best_of
from c2srt_cli.progress import Progress
from c2srt_cli.search.query import Query
from c2srt_cli.search.search import prepare_search, search
from c2srt_cli.tagging.options import TagOptions
from c2srt_cli.tagging.record import TaggedImage
from c2srt_cli.tagging.tag import prepare_tagging
from c2srt_cli.tagging.tagger import tag_images

LABELS = ["red fox", "snow", "people", "boat"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight photographs, the third of five squares, the last of three."""
    paths = write_photos(tmp_path / "photos", 8)
    for place, count in ((2, 5), (7, 3)):
        noise = np.random.default_rng(place).integers(0, 256, (2, 2 * count, 3), np.uint8)
        Image.fromarray(noise).resize((60 * count, 60), Image.Resampling.BICUBIC).save(paths[place])
    return tmp_path / "photos"


def by_hand(tiny: str, photos: Path) -> np.ndarray:
    """Scores of each photograph or, of a wide one, the best of it and its squares, ``(N, L)``."""
    tagger = Tagger(LABELS, backbone=tiny, precision="float32", batch_size=4, fit="crop")
    rows = []
    for path in sorted(photos.iterdir()):
        picture = Image.open(path)
        width, height = picture.size
        starts = range(0, width, height) if width > 2 * height else []
        boxes = [(start, 0, start + height, height) for start in starts]
        squares = [picture.resize((64, 64), Image.Resampling.BICUBIC, box) for box in boxes]
        rows.append(tagger.scores([picture, *squares]).max(0))
    return np.stack(rows)


def options(tiny: str, photos: Path, batch: int, **own: object) -> TagOptions:
    machine = Machine(precision="float32", batch=batch)
    return TagOptions((str(photos),), Query(tuple(LABELS)).labels, backbone=tiny, machine=machine, **own)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [2, 4, 16])
def test_the_best_of_the_whole_and_its_tiles(tiny: str, photos: Path, batch: int) -> None:
    expected = by_hand(tiny, photos)
    tagger = Tagger(LABELS, backbone=tiny, precision="float32", batch_size=batch)
    np.testing.assert_allclose(tagger.scores(photos), expected, atol=1e-5)
    job = prepare_tagging(options(tiny, photos, batch, all_scores=True), Progress())
    found = [row for rows in tag_images(job, job.source.items, Progress()) for _, row in rows]
    assert [row.path for row in found] == sorted(path.name for path in photos.iterdir())
    scores = [row.scores for row in found if isinstance(row, TaggedImage)]
    np.testing.assert_allclose(np.array(scores), expected, atol=1e-5)
    assert job.options["pixels"]["tiles"] is True
    assert "tiles" not in job.basis["pixels"]


@pytest.mark.parametrize("own", [{"fit": "crop"}, {"draft": False}])
def test_preprocessing_that_is_asked_for_is_taken_at_its_word(tiny: str, photos: Path, own: dict[str, object]) -> None:
    job = prepare_tagging(options(tiny, photos, 4, **own), Progress())
    assert "tiles" not in job.options["pixels"]


def test_search_and_learn_look_at_whole_photographs_where_these_are_compared(
    tiny: str, photos: Path, tmp_path: Path
) -> None:
    embed(photos, out=tmp_path / "E", backbone=tiny, precision="float32")
    job = prepare_tagging(options(tiny, photos, 4), Progress())
    stored = prepare_tagging(options(tiny, tmp_path / "E", 4), Progress())
    mine, theirs = (score(one, list(one.source.items), Progress()) for one in (job, stored))
    np.testing.assert_allclose(mine.embeddings, theirs.embeddings, atol=1e-5)
    wide = [name.endswith(("02.png", "07.png")) for name in mine.names]
    gained = mine.logits - theirs.logits  # whose tokens are stored in bfloat16
    assert (gained > -1e-3).all()
    assert (gained.max(1) > 1e-3).tolist() == wide
    for query, among in ((Query(("snow",)), True), (Query(like=(photos / "p0002.png",)), False)):
        prepared = prepare_search(query, options(tiny, photos, 4), Progress())
        hits = {hit.path: hit.score for hit in search(prepared, Progress()).hits}
        expected = by_hand(tiny, photos)[:, 1] if among else (theirs.embeddings @ theirs.embeddings[2]).numpy()
        np.testing.assert_allclose([hits[name] for name in mine.names], expected, atol=1e-5)


def test_all_that_the_best_row_says_goes_with_it() -> None:
    ranking = torch.tensor([[1.0, 5.0], [3.0, 2.0], [4.0, 0.0], [9.0, 9.0]])  # two images of 1 and 2 rows, and padding
    rows = torch.arange(8.0).view(4, 2)
    found = best_of(
        Scores(ranking, rows, base=torch.arange(12.0).view(4, 3), attention=rows[:, :, None].repeat(1, 1, 3)), (1, 2)
    )
    assert found.ranking.tolist() == [[1, 5], [4, 2]]
    assert found.logit.tolist() == [[0, 1], [4, 3]]
    assert found.attention is not None
    assert found.attention[:, :, 2].tolist() == [[0, 1], [4, 3]]
    assert found.base is not None
    assert found.base.tolist() == [[0, 1, 2], [6, 7, 8]]
    assert found.share is None
