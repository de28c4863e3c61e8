"""A method or a run, ready to score labels on images: one implementation behind tag, evaluate and ablate."""
