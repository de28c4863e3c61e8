"""The page: one HTML file whose policy lets nothing run but its own script, and data in scripts beside it."""

import base64
import hashlib
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from c2srt_cli.artifacts import atomic_write

PAGE, DATA, REASONS = "index.html", "data.js", "reasons"
#: Photographs whose reasons lie in one file, which is read when one of them is looked at.
PART = 200
#: In the order in which they stand in the page; the first is PhotoSwipe's own build (MIT).
STYLES = ("photoswipe.css", "page.css")
SCRIPTS = ("photoswipe.umd.min.js", "verdicts.js", "grid.js", "details.js", "lightbox.js", "page.js")


def page() -> str:
    """The HTML of every page.

    Its content-security policy names the script and the style by their hashes, and otherwise lets scripts and pictures
    come from beside the page only: ``file:`` is for browsers in which ``'self'`` does not mean files.
    """
    assets = files("c2srt_cli.review") / "assets"
    style, script = ("\n".join((assets / name).read_text("utf-8") for name in names) for names in (STYLES, SCRIPTS))
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}' 'self' file:",
            f"style-src '{_hash(style)}'",
            "img-src 'self' file:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    html = (assets / "page.html").read_text("utf-8")
    for place, text in (("POLICY", policy), ("/*STYLE*/", style), ("/*SCRIPT*/", script)):
        html = html.replace(place, text)
    return html


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def call(function: str, *values: object) -> str:
    """A script that hands values to a function of the page: ASCII, and nothing in them ends it or a line of it."""
    texts = (json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c") for value in values)
    return f"{function}({','.join(texts)});\n"


def write_page(out: Path, data: dict[str, Any], reasons: list[list[Any]]) -> None:
    """Write the page and what it reads.

    Args:
        out: Its folder.
        data: See `review.review`.
        reasons: For each photograph those of its tags; empty where none are known.
    """
    parts = [reasons[start : start + PART] for start in range(0, len(reasons), PART)]
    for number, part in enumerate(parts):
        _write(out / REASONS / f"{number}.js", call("reasons", number, part))
    for path in (out / REASONS).glob("*.js"):
        if path.stem not in map(str, range(len(parts))):
            path.unlink()
    _write(out / DATA, call("review", data | {"part": PART if reasons else 0}))
    _write(out / PAGE, page())


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def address(root: Path, out: Path) -> str:
    """The address of a folder as seen from the page, with a slash at its end."""
    try:
        relative = Path(os.path.relpath(root, out.absolute())).as_posix()
    except ValueError:  # another drive
        return root.as_uri() + "/"
    return quote(relative, safe="/.") + "/"
