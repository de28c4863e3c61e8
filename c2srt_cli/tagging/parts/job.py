"""Everything that a run over tags in parts needs, and what it has done so far."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from c2srt_cli.cluster import Cluster
from c2srt_cli.parts.folder import PART
from c2srt_cli.parts.run import check_share
from c2srt_cli.tagging.job import TagJob, what_decides
from c2srt_cli.tagging.options import TagOptions
from c2srt_cli.tagging.record import FailedImage
from c2srt_cli.tagging.summary import Summary


@dataclass(frozen=True)
class TagPartsJob:
    """A run of the tagger over a folder of parts.

    Attributes:
        tagging: What is done to every image.
        out: The folder to write.
        part_size: Photographs of a new part; parts of embeddings are followed whatever it is.
        share: Which of how many processes this is, ``(i, n)``: it does the parts ``i``, ``i + n``, …; all where None.
        overwrite: Start again instead of resuming.
        cluster: Whose workers tag; this process where None.
        asked: What they are to do, where there is one.

    Raises:
        UsageError: one of several processes is to start again, or a cluster to do a share.
    """

    tagging: TagJob
    out: Path
    part_size: int = PART
    share: tuple[int, int] | None = None
    overwrite: bool = False
    cluster: Cluster | None = None
    asked: TagOptions | None = None

    def __post_init__(self) -> None:
        check_share(self.out, self.share, overwrite=self.overwrite, cluster=self.cluster is not None)

    @cached_property
    def options(self) -> dict[str, Any]:
        """Of the tags, as their manifest has them."""
        options: dict[str, Any] = json.loads(json.dumps(self.tagging.options))
        return options

    @cached_property
    def made(self) -> dict[str, Any]:
        """What of the options decides the tags."""
        return what_decides(self.options)


@dataclass(eq=False)
class TagCount:
    """What a run has done so far.

    Attributes:
        total: Images to tag.
        done: Of these.
        resumed: Of these, what an earlier, interrupted run had done.
        live: Images of the parts that were done.
        failures: Those of them that failed.
        summary: Of what was tagged now, or in the interrupted run.
    """

    total: int
    summary: Summary
    done: int = 0
    resumed: int = 0
    live: int = 0
    failures: list[FailedImage] = field(default_factory=list)
