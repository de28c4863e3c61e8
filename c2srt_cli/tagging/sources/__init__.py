"""Where the tagger's images come from: photographs, or embeddings made of them."""

from c2srt_cli.tagging.sources.embeddings import EmbeddingSource
from c2srt_cli.tagging.sources.images import ImageSource
from c2srt_cli.tagging.sources.items import Item, Items
from c2srt_cli.tagging.sources.source import Source, SourceBatch

__all__ = ["EmbeddingSource", "ImageSource", "Item", "Items", "Source", "SourceBatch"]
