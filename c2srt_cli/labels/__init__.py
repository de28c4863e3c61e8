"""The only door for labels: reading, normalising and checking the user's words, and the prompts around them."""

from c2srt_cli.labels.door import LabelSource, LabelSpec, TokenCounter, open_labels, read_labels, vocabulary_name
from c2srt_cli.labels.entries import COLUMNS
from c2srt_cli.labels.label import Label, LabelSet
from c2srt_cli.labels.templates import DEFAULT_TEMPLATE, MOST_TEMPLATES, is_template, read_templates
from c2srt_cli.text import normalise

__all__ = [
    "COLUMNS",
    "DEFAULT_TEMPLATE",
    "MOST_TEMPLATES",
    "Label",
    "LabelSet",
    "LabelSource",
    "LabelSpec",
    "TokenCounter",
    "is_template",
    "normalise",
    "open_labels",
    "read_labels",
    "read_templates",
    "vocabulary_name",
]
