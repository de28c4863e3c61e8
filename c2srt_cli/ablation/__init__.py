"""One table out of many runs: what each part of a method is worth."""
