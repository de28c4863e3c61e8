"""Images → cached tokens: the encoder pipeline, the store on disk, and the text embeddings beside it."""
