"""Datasets of parts: which image belongs to which part, what has changed since, and who works on what."""
