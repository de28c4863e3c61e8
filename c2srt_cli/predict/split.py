"""Where the tokens of embeddings enter a method's tower."""

from c2srt_cli.embeddings.split import Split
from c2srt_cli.embeddings.store import Store
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.tokens import check_tokens
from c2srt_cli.training.run import Run


def split_in(store: Store, model: Method, run: Run | None = None) -> Split:
    """Where the tokens of a store enter a method's tower.

    Raises:
        InputError: the method cannot go on from them.
    """
    made, pixels = store.options, None if run is None else run.made.pixels
    weights = model.backbone.weights_sha256
    check_tokens(model.need, store, type(model), model.backbone.tower, pixels=pixels, weights=weights)
    attention = model.need.patch_attention if model.trainable else made.patch_attention
    return Split(made.split_stage, attention, made.streams)
