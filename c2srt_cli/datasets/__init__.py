"""Public datasets and the user's own: their files → annotations."""
