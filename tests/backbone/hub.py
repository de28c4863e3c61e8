"""A hub on localhost that answers what huggingface_hub asks for one file at a time."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


@contextmanager
def hub(folder: Path) -> Iterator[str]:
    """Serve ``folder/<organisation>/<name>/<file>`` as models.

    The connection breaks off half-way through files of the organisation ``broken``. What a model lists as its files are
    those in its folder, and the lines of a file ``names`` there.

    Yields:
        The endpoint.
    """

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def describe(self, model: Path, *, tree: bool) -> None:
            commit = "0" * 40
            named = (model / "names").read_text().split() if (model / "names").exists() else []
            files = [*(path.name for path in model.iterdir() if path.name != "names"), *named]
            listed = [{"type": "file", "path": name, "size": 1, "oid": commit} for name in files]
            answer = json.dumps(listed if tree else {"id": "a/b", "sha": commit, "siblings": []}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def answer(self, *, body: bool) -> None:
            parts = self.path.split("?")[0].strip("/").split("/")
            if parts[:2] == ["api", "models"] and folder.joinpath(*parts[2:4]).is_dir():
                self.describe(folder.joinpath(*parts[2:4]), tree=parts[4] == "tree")
                return
            path = folder.joinpath(*parts[:2], *parts[4:]) if "resolve" in parts else folder / "none"
            if not path.is_file():
                repository = folder.joinpath(*parts[:2]).is_dir()
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound" if repository else "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = path.read_bytes()
            start = 0
            if (asked := self.headers.get("Range")) is not None:
                start = int(asked.removeprefix("bytes=").split("-")[0])
            self.send_response(206 if start else 200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", hashlib.sha1(content).hexdigest())
            self.send_header("Accept-Ranges", "bytes")
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if body:
                end = (
                    start + (len(content) - start) // 2
                    if parts[0] == "broken" and path.suffix == ".safetensors"
                    else len(content)
                )
                self.wfile.write(content[start:end])
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
