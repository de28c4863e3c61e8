"""Photographs → tags: the tagger, the decision rule, and one writer per format."""
