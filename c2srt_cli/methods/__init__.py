"""One file per published method and one per published module; tensors in, tensors out."""
