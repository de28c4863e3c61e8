import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from c2srt_cli.review.page import PART, STYLES, address, call, page, write_page

HOSTILE = [
    "</script><script>hacked=1</script>",
    "<!-- <script>",
    "a\u2028b\u2029c",
    "\\u003c & &lt; ' \"",
    "/*SCRIPT*/ POLICY /*STYLE*/",
    "日本\x00\x1b[31m",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
]


def arguments(script: str, function: str) -> list[object]:
    """What a file hands to the page, read as JSON."""
    assert script.startswith(f"{function}(") and script.endswith(");\n")
    value: list[object] = json.loads(f"[{script[len(function) + 1 : -3]}]")
    return value


def test_data_is_data() -> None:
    script = call("review", {"labels": HOSTILE}, 3)
    assert script.isascii() and "<" not in script and script.count("\n") == 1
    assert arguments(script, "review") == [{"labels": HOSTILE}, 3]
    with pytest.raises(ValueError, match="JSON compliant"):
        call("review", float("nan"))


class Parsed(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.setdefault(tag, []).append("")

    def handle_data(self, data: str) -> None:
        tag = self.elements[-1][0] if self.elements else ""
        if tag in ("script", "style"):
            self.texts[tag][-1] += data


def test_policy_names_the_script_and_the_style() -> None:
    html = page()
    found = Parsed(html)
    (policy,) = [a["content"] or "" for tag, a in found.elements if a.get("http-equiv") == "Content-Security-Policy"]
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    for kind in ("script", "style"):
        (text,) = re.findall(f"<{kind}>(.*?)</{kind}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert directives[f"{kind}-src"].split()[0] == f"'sha256-{digest}'"
    assert directives["default-src"] == directives["base-uri"] == directives["form-action"] == "'none'"
    assert set(directives["script-src"].split()[1:]) == set(directives["img-src"].split()) == {"'self'", "file:"}
    assert "unsafe" not in policy and "http" not in policy


def test_nothing_is_run_or_read_but_what_lies_beside() -> None:
    html = page()
    elements = Parsed(html).elements
    assert not [
        one for _, attributes in elements for one in attributes if one.startswith("on") or one in ("src", "style")
    ]
    own = html[html.index("class Verdicts") :]
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|fetch\(|XMLHttp|setAttribute", own
    )
    assert "MIT" in (Path(__file__).parents[2] / "c2srt_cli/review/assets/photoswipe.LICENSE").read_text()
    assert STYLES[0] == "photoswipe.css" and "PhotoSwipe 5.4.4" in html


def test_files_beside_the_page(tmp_path: Path) -> None:
    reasons = [[[f"label {i}", [], []]] for i in range(PART + 1)]
    write_page(tmp_path, {"labels": HOSTILE}, reasons)
    assert arguments((tmp_path / "data.js").read_text(), "review") == [{"labels": HOSTILE, "part": PART}]
    assert arguments((tmp_path / "reasons/0.js").read_text(), "reasons") == [0, reasons[:PART]]
    assert arguments((tmp_path / "reasons/1.js").read_text(), "reasons") == [1, reasons[PART:]]
    assert (tmp_path / "index.html").read_text() == page()
    write_page(tmp_path, {"labels": []}, [])
    assert not list((tmp_path / "reasons").iterdir())
    assert arguments((tmp_path / "data.js").read_text(), "review") == [{"labels": [], "part": 0}]


def test_address_of_the_photographs(tmp_path: Path) -> None:
    root = tmp_path / "a b#?%é<"
    assert address(root, tmp_path / "review").startswith("../a%20b%23")
    assert unquote(address(root, tmp_path / "review")) == "../a b#?%é</"
    assert address(tmp_path, tmp_path / "review") == "../"
    assert address(tmp_path, tmp_path) == "./"
