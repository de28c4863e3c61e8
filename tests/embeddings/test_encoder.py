from pathlib import Path

import numpy as np
import pytest
import torch
from photos import write_photos
from tiny import write_tiny_model
from tiny_runs import split_for

from c2srt_cli.backbone.precision import Runtime
from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.embeddings.encoder import Encoder, Machine, make_encoder, pixel_spec
from c2srt_cli.embeddings.pipeline import LOOK_AHEAD, encode
from c2srt_cli.embeddings.split import Split, resolve_split
from c2srt_cli.errors import UsageError
from c2srt_cli.images import ImageFile, find_images


@pytest.fixture
def encoder(tiny: str) -> Encoder:
    backbone = load_backbone(tiny)
    return make_encoder(backbone, Split(3, "value", "local"), Machine(device="cpu", precision="float32", batch=3))


def files(folder: Path, bad: tuple[int, ...] = (), count: int = 10) -> list[ImageFile]:
    for number, path in enumerate(write_photos(folder, count)):
        if number in bad:
            path.write_bytes(b"")
    return list(find_images([str(folder)]).files)


class TestEncode:
    @pytest.mark.parametrize("workers", [1, 4])
    @pytest.mark.parametrize("bad", [(), (0,), (1, 2, 3, 4), (9,), tuple(range(10))])
    def test_every_image_once_in_order(
        self, encoder: Encoder, tmp_path: Path, workers: int, bad: tuple[int, ...]
    ) -> None:
        listed = files(tmp_path, bad)
        batches = list(encode(listed, encoder, pixel_spec(encoder.backbone, fit=None, draft=True), workers=workers))
        outcomes = [outcome for batch in batches for outcome in batch.outcomes]
        assert [outcome.file for outcome in outcomes] == listed
        assert [outcome.error is not None for outcome in outcomes] == [number in bad for number in range(10)]
        assert [batch.count for batch in batches if batch.count][:-1] == [3] * ((10 - len(bad) - 1) // 3)
        assert sum(batch.count for batch in batches) == 10 - len(bad)

    def test_rows_are_those_of_the_pixels(self, encoder: Encoder, tmp_path: Path) -> None:
        """Each image's row, wherever it stands, is bitwise what the same pixels give in row 0 of a batch alone."""
        listed = files(tmp_path, bad=(2, 5))
        spec = pixel_spec(encoder.backbone, fit="squash", draft=True)
        for batch in encode(listed, encoder, spec, workers=2):
            good = [outcome for outcome in batch.outcomes if outcome.pixels is not None]
            for row, outcome in enumerate(good):
                tokens, alone = encoder.forward([outcome.file.load(spec).array])
                assert tokens.local is not None
                assert batch.tokens.local is not None
                assert torch.equal(batch.tokens.local[row], tokens.local[0])
                assert torch.equal(batch.global_embedding[row], alone.global_[0])
                assert torch.equal(batch.embedding.patches[row], alone.patches[0])

    @pytest.mark.parametrize(("chunk", "done"), [(4, 0), (4, 1), (4, 3), (3, 0), (1, 0), (100, 40)])
    def test_no_batch_crosses_a_chunk(self, encoder: Encoder, tmp_path: Path, chunk: int, done: int) -> None:
        spec = pixel_spec(encoder.backbone, fit=None, draft=True)
        seen = done
        for batch in encode(files(tmp_path, (1,)), encoder, spec, workers=2, chunk=chunk, done=done):
            assert seen // chunk == (seen + len(batch.outcomes) - 1) // chunk
            seen += len(batch.outcomes)
        assert seen == done + 10

    def test_decodes_a_bounded_number_ahead(self, encoder: Encoder, tmp_path: Path) -> None:
        taken = 0

        def listing() -> "list[ImageFile]":
            return files(tmp_path, count=60)

        def counted() -> "object":
            nonlocal taken
            for file in listing():
                taken += 1
                yield file

        batches = encode(counted(), encoder, pixel_spec(encoder.backbone, fit=None, draft=True), workers=2)  # type: ignore[arg-type]
        next(batches)
        # decoded ahead, in forward passes and next in line, and one behind the batch that came out
        assert taken <= 3 * (LOOK_AHEAD + encoder.lanes + 1) + 1
        assert taken < 60
        batches.close()


class TestMachine:
    def test_takes_over_a_stored_runtime(self, tiny: str) -> None:
        stored = Runtime("cpu", "bfloat16", 5, 1)
        backbone = load_backbone(tiny)
        encoder = make_encoder(backbone, Split(3, None, "global"), Machine(), stored)
        assert (encoder.runtime.dtype, encoder.runtime.batch) == ("bfloat16", 5)
        assert backbone.dtype == torch.bfloat16
        asked = make_encoder(backbone, Split(3, None, "global"), Machine(batch=2), stored)
        assert asked.runtime.batch == 2

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
    def test_a_stored_gpu_that_is_not_here(self, tiny: str) -> None:
        stored = Runtime("cuda", "float16", 64, 16)
        encoder = make_encoder(load_backbone(tiny), Split(3, None, "global"), Machine(), stored)
        assert encoder.runtime.device == "cpu"
        assert encoder.forward([np.zeros((64, 64, 3), np.uint8)])[1].global_.isfinite().all()

    def test_no_such_device(self, tiny: str) -> None:
        with pytest.raises(UsageError, match="there is no device"):
            make_encoder(load_backbone(tiny), Split(3, None, "global"), Machine(device="abacus"))


def test_towers_without_a_local_stream(tmp_path: Path) -> None:
    spec = write_tiny_model(tmp_path / "m", vision_cfg={"timm_model_name": "test_convnext", "timm_pool": "avg"})
    backbone = load_backbone(spec)
    depth = backbone.tower.depth
    plain: dict[str, None] = {"split_stage": None, "streams": None, "patch_attention": None}
    assert resolve_split(backbone, split_for("zero-shot")(backbone.tower), **plain) == Split(depth, None, "global")
    for wrong in ({"patch_attention": "value"}, {"streams": "both"}):
        with pytest.raises(UsageError, match="no local stream"):
            resolve_split(backbone, split_for("zero-shot")(backbone.tower), **{**plain, **wrong})  # type: ignore[arg-type]
    # its last map is local as it is
    assert resolve_split(backbone, split_for("ram")(backbone.tower), **plain) == Split(depth - 3, None, "global")
