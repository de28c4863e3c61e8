"""What Pillow must be told to decode as we do, for as long as it is at work for us: its switches are the process's."""

import re
import warnings
from threading import Lock
from typing import Any

from PIL import Image

from c2srt_cli.images import bounds

_QUIET: Any = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


class _Settings:
    """Set by the first one in, put back by the last one out: threads may be in the block side by side.

    Pillow refuses twice its limit, so its own protection, which sees what the header hides, agrees with ours. Its
    warnings about odd metadata are no noise then, and no errors under ``-W error``. `warnings.catch_warnings` swaps all
    filters of the process and is not safe in threads; one filter more, which names nothing but Pillow's modules, is.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._limit: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, bounds.MAX_PIXELS // 2
            filters: Any = warnings.filters
            if filters[:1] != [_QUIET]:
                filters.insert(0, _QUIET)
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                Image.MAX_IMAGE_PIXELS = self._limit
                filters: Any = warnings.filters
                while _QUIET in filters:
                    filters.remove(_QUIET)


PILLOW = _Settings()
