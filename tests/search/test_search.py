"""Search, against the scores of the API's Tagger and open_clip's own image features."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from photos import write_photos
from PIL import Image

from c2srt_cli import Tagger, embed
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.progress import Progress
from c2srt_cli.search import search as module
from c2srt_cli.search.query import Query, words_of
from c2srt_cli.search.search import SearchResult, prepare_search, search
from c2srt_cli.tagging.options import TagOptions

MACHINE = Machine(precision="float32", batch=4)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", 9)[0].parent


def run(tiny: str, folder: Path, query: Query, *, exact: bool = False) -> SearchResult:
    options = TagOptions((str(folder),), query.labels, backbone=tiny, machine=MACHINE)
    return search(prepare_search(query, options, Progress()), Progress(), exact=exact)


def expected(tiny: str, photos: Path, words: list[str]) -> np.ndarray:
    """Scores ``(N, L)`` of the photographs in the order of their names."""
    return Tagger(words, backbone=tiny, precision="float32", batch_size=4).scores(photos)


def in_order(result: SearchResult) -> np.ndarray:
    return np.array([hit.score for hit in sorted(result.hits, key=lambda hit: hit.path)])


def features(tiny: str, paths: list[Path]) -> np.ndarray:
    """Image features by open_clip itself, of norm 1."""
    model, _, preprocess = open_clip.create_model_and_transforms(tiny)
    images = torch.stack([preprocess(Image.open(path).convert("RGB")) for path in paths])
    with torch.inference_mode():
        found: np.ndarray = torch.nn.functional.normalize(model.encode_image(images), dim=-1).numpy()
    return found


@pytest.mark.parametrize("text", ["red fox", "a red fox", "The  red fox"])
def test_one_word_is_scored_as_tag_scores_it(tiny: str, photos: Path, text: str) -> None:
    result = run(tiny, photos, Query((text,)))
    np.testing.assert_allclose(in_order(result), expected(tiny, photos, ["red fox"])[:, 0], atol=1e-6)
    scores = [hit.score for hit in result.hits]
    assert scores == sorted(scores, reverse=True)
    assert result.total == 9
    assert result.root == photos


def test_words_add_and_subtract_once_they_are_standardised(tiny: str, photos: Path) -> None:
    result = run(tiny, photos, Query(("red fox", "snow"), ("people",)))
    raw = expected(tiny, photos, ["red fox", "snow", "people"])
    z = (raw - raw.mean(0)) / raw.std(0)
    np.testing.assert_allclose(in_order(result), (z[:, 0] + z[:, 1] - z[:, 2]) / 3, atol=1e-4)
    assert all(hit.probability is None for hit in result.hits)


def test_a_picture_alone_finds_itself_first(tiny: str, photos: Path) -> None:
    paths = sorted(photos.iterdir())
    result = run(tiny, photos, Query(like=(paths[4],)))
    assert result.hits[0].path == paths[4].name
    near = features(tiny, paths)
    np.testing.assert_allclose(in_order(result), near @ near[4], atol=5e-3)  # JPEG's and PNG's own resize to the pixel


def test_what_is_named_twice_counts_once(tiny: str, photos: Path) -> None:
    picture = sorted(photos.iterdir())[4]
    once, twice = (run(tiny, photos, Query(("fox",) * n, (), (picture,) * n)) for n in (1, 2))
    assert twice.hits == once.hits
    assert run(tiny, photos, Query(("fox", "a Fox"))).hits == run(tiny, photos, Query(("fox",))).hits


@pytest.mark.parametrize("query", [Query(("red fox",)), Query(("red fox",), ("snow",))])
def test_the_best_as_a_whole_are_looked_at_closely(
    tiny: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: Query
) -> None:
    embed(photos, out=tmp_path / "E", backbone=tiny, precision="float32")
    whole = run(tiny, tmp_path / "E", query, exact=True)
    assert len(whole.hits) == 9
    monkeypatch.setattr(module, "CANDIDATES", 4)
    monkeypatch.setattr("c2srt_cli.embeddings.shards.SHARD", 4)
    fast = run(tiny, tmp_path / "E", query)
    assert (len(fast.hits), fast.total) == (4, 9)
    # which they are, from the stored globals and the words' own embeddings
    store = Store.open(tmp_path / "E")
    globals_ = torch.cat([stored for _, _, stored in store.batches(range(len(store)), 9)]).float().numpy()
    globals_ /= np.linalg.norm(globals_, axis=1, keepdims=True)
    words = [*query.words, *query.without]
    text = Tagger(words, backbone=tiny, precision="float32")._job.text.numpy()
    near = globals_ @ text.T
    if len(words) > 1:
        near = (near - near.mean(0)) / near.std(0)
    best = np.argsort(-(near @ query.signs))[:4]
    assert {hit.path for hit in fast.hits} == {store.paths[int(i)].as_py() for i in best}
    if len(words) == 1:  # and their scores are those of the whole search
        scores = {hit.path: hit.score for hit in whole.hits}
        for hit in fast.hits:
            assert hit.score == pytest.approx(scores[hit.path], abs=1e-6)


def test_a_damaged_shard_is_not_searched(
    tiny: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(photos, out=tmp_path / "E", backbone=tiny, precision="float32")
    path = tmp_path / "E/part-00000" / "shard-00000.safetensors"
    data = bytearray(path.read_bytes())
    data[-len(data) // 2 :] = b"\xff" * len(data[-len(data) // 2 :])  # not a number
    path.write_bytes(data)
    monkeypatch.setattr(module, "CANDIDATES", 4)
    with pytest.raises(InputError, match="damaged"):
        run(tiny, tmp_path / "E", Query(("red fox",)))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (Query(), "nothing to search for"),
        (Query((" ",)), "nothing to search for"),
        (Query(without=("people",)), "nothing to search for"),
        (Query(("a Boat",), ("boat",)), "wanted and not wanted"),
    ],
)
def test_what_is_no_search(query: Query, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        query.check()


def test_pictures_that_cannot_be_used(tiny: str, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Query(like=(tmp_path / "none.jpg",)).check()
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(InputError, match="cannot be read"):
        run(tiny, photos, Query(like=(tmp_path / "text.jpg",)))


def test_words_come_last(tmp_path: Path) -> None:
    assert words_of(["a", "b", "red boat"], like=False) == (["a", "b"], ("red boat",))
    assert words_of([str(tmp_path)], like=True) == ([str(tmp_path)], ())
    assert words_of([str(tmp_path), "boat"], like=True) == ([str(tmp_path)], ("boat",))
    with pytest.raises(UsageError, match="come after the photographs"):
        words_of([str(tmp_path)], like=False)
    with pytest.raises(UsageError, match="no photographs"):
        words_of(["boat"], like=False)
