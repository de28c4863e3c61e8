"""Corel5k: 4,999 images of 374 words, in the form of one table.

The data of P. Duygulu et al., Object recognition as machine translation, ECCV 2002, as ``annotations.csv``
(``path,split,labels``, ``;`` between labels), ``words.txt`` and ``images/``.
"""

import numpy as np

from c2srt_cli.datasets import table
from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.datasets.rows import rows_of
from c2srt_cli.datasets.source import Source, damaged, read_lines
from c2srt_cli.datasets.unseen import unseen_by_name
from c2srt_cli.labels import Label, LabelSet, normalise

ORIGIN = "http://kobus.ca/research/data/eccv_2002/ (Corel images, for research only)"
PROTOCOLS = ("nus-81",)
#: The concepts of NUS-WIDE, which are the unseen words here.
NUS_81 = """
    airport animal beach bear birds boats book bridge buildings cars castle cat cityscape clouds computer coral
    cow dancing dog earthquake elk fire fish flags flowers food fox frost garden glacier grass harbor horses
    house lake leaf map military moon mountain nighttime ocean person plane plants police protest railroad
    rainbow reflection road rocks running sand sign sky snow soccer sports statue street sun sunset surf
    swimmers tattoo temple tiger tower town toy train tree valley vehicle water waterfall wedding whales window
    zebra
"""


def read(source: Source, protocol: str) -> Annotations:
    """Read Corel5k; under ``nus-81`` the words that are names of NUS-WIDE's 81 concepts are unseen.

    Raises:
        InputError: files are missing or not what they should be.
    """
    rows_path, words_path = source.files(dict.fromkeys(("annotations.csv", "words.txt"), ORIGIN))
    words = [normalise(word) for word in read_lines(words_path)]
    if len({word.casefold() for word in words}) < len(words):
        raise damaged(words_path, ["a word stands twice"])
    labels = LabelSet(tuple(Label(word) for word in words))
    annotations = table.gather(source, rows_of(source, rows_path), labels, source.path, "corel5k")
    source.count("words", len(words), 374)
    source.count("training images", len(annotations.rows("train")), 4500)
    source.count("test images", len(annotations.rows("test")), 499)
    if protocol != "nus-81":
        return annotations
    seen = unseen_by_name(labels, NUS_81.split())
    train, test = (
        np.bincount(annotations.positive.select(annotations.rows(split)).labels, minlength=len(words))
        for split in ("train", "test")
    )
    source.count("words that are names of NUS-WIDE's concepts", int((~seen).sum()), 59)
    source.count("unseen words with a test image", int((test[~seen] > 0).sum()), 54)
    source.count("seen words with a training image", int((train[seen] > 0).sum()), 312)
    source.count("words in both splits", int(((train > 0) & (test > 0)).sum()), 260)
    known = annotations.positive.select(annotations.rows("train")).dense(np.flatnonzero(seen))
    source.count("training images without a seen word", int((~known.any(1)).sum()), 653)
    return annotations.with_seen(seen)
