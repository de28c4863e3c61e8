"""Photographs and parts in a bucket behind a server that speaks S3, through s3fs as users have it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from buckets import downloaded, forget, upload
from command_line import Run
from photos import Killed, content, write_photos
from test_buckets import facts, load, options

from c2srt_cli.artifacts import buckets
from c2srt_cli.embeddings import shards
from c2srt_cli.images import find_images
from c2srt_cli.parts import bucket

pytest.importorskip("s3fs", reason="needs pip install 'c2srt[s3]'")
pytest.importorskip("moto.server", reason="needs the packages of the dev group")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A file system of s3fs with an empty bucket ``bucket``."""
    import requests
    import s3fs

    for name, value in (
        ("AWS_ENDPOINT_URL", server),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_MAX_ATTEMPTS", "1"),
    ):
        monkeypatch.setenv(name, value)
    requests.post(f"{server}/moto-api/reset", timeout=10)
    fresh()
    system = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    system.mkdir("bucket")
    yield system
    fresh()


def fresh() -> None:
    """What a new process would not know, connections among it."""
    import s3fs

    forget()
    buckets._of_protocol.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()


def test_embeddings_of_photographs_in_a_bucket(
    c2srt: Run, tiny: str, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", 2)
    write_photos(tmp_path / "photos/sub ü", 5)
    write_photos(tmp_path / "photos", 3, seed=1)
    upload(s3, tmp_path / "photos", "bucket/p")
    for source, out in (("s3://bucket/p", "there"), (tmp_path / "photos", "here")):
        done = c2srt("embed", source, "--out", tmp_path / out, *options(tiny))
        assert done.code == 0, done.err
    assert facts(tmp_path / "there") == facts(tmp_path / "here")
    assert load(tmp_path / "there") == load(tmp_path / "here")
    s3.pipe_file("bucket/p/p0001.png", (tmp_path / "photos/p0002.png").read_bytes())
    forget()
    done = c2srt("embed", "s3://bucket/p", "--out", tmp_path / "there", *options(tiny))
    assert (done.code, "1 encoded now, 0 removed" in done.err) == (0, True), done.err


@pytest.mark.usefixtures("s3")
def test_more_objects_than_one_answer_holds_and_odd_names() -> None:
    from moto.s3.models import s3_backends

    odd = [
        "/a.jpg",
        "x//b.jpg",
        "../c.jpg",
        "./d.jpg",
        "folder/",
        "e.jpg/",
        "e.jpg",
        "e.jpg/f.jpg",
        "ü?b#c%20+&[x]*.jpg",
    ]
    for name in [f"{number:05}.jpg" for number in range(1001)] + odd:
        s3_backends["123456789012"]["aws"].put_object("bucket", f"p/{name}", b"x")
    found = find_images(["s3://bucket/p"], buckets=True)
    names = found.files.names.to_pylist()
    assert len(names) == 1001 + 3
    assert names[-3:] == ["e.jpg", "e.jpg/f.jpg", "ü?b#c%20+&[x]*.jpg"]
    assert sorted(bad.name for bad in found.problems) == ["../c.jpg", "./d.jpg", "/a.jpg", "x//b.jpg"]
    assert buckets.read_object(found.root / names[-1]) == b"x"


@pytest.mark.parametrize(
    ("named", "said", "code"),
    [("nobody", "no such bucket", 3), ("bucket/empty", "no image", 3), ("B_", "s3://B_", 3)],
)
@pytest.mark.usefixtures("s3")
def test_what_is_not_there(  # noqa: PLR0917
    c2srt: Run, tiny: str, tmp_path: Path, named: str, said: str, code: int
) -> None:
    done = c2srt("embed", f"s3://{named}", "--out", tmp_path / "e", *options(tiny))
    assert (done.code, said in done.err, "Traceback" in done.err) == (code, True, False), done.err


def test_credentials_and_connection(
    c2srt: Run, tiny: str, tmp_path: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.pipe_file("bucket/p/a.jpg", b"x")
    line = ["embed", "s3://bucket/p", "--out", tmp_path / "e", *options(tiny)]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    done = c2srt(*line)
    assert (done.code, "cannot be reached" in done.err, "same command again" in done.err) == (4, True, True), done.err
    fresh()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    done = c2srt(*line)
    assert (done.code, "credentials" in done.err, "aws configure" in done.err) == (3, True, True), done.err


def test_parts_in_a_bucket_after_a_kill(
    c2srt: Run, tiny: str, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", 2)
    write_photos(tmp_path / "photos", 6)
    upload(s3, tmp_path / "photos", "bucket/p")
    line = ["embed", "s3://bucket/p", "--out", "s3://bucket/e ü", *options(tiny)]

    def killed(file: Path, path: Path) -> None:
        if path.name == "shard-00001.safetensors":
            raise Killed
        put(file, path)

    put = buckets.write_object
    monkeypatch.setattr(bucket, "write_object", killed)
    with pytest.raises(Killed):
        c2srt(*line)
    assert "part-00000/shard-00000.safetensors" in downloaded(s3, "bucket/e ü")
    assert not any(name.endswith("manifest.json") for name in downloaded(s3, "bucket/e ü"))
    monkeypatch.setattr(bucket, "write_object", put)
    forget()
    assert c2srt(*line).code == 0
    assert c2srt("embed", "s3://bucket/p", "--out", tmp_path / "e", *options(tiny)).code == 0
    assert downloaded(s3, "bucket/e ü") == content(tmp_path / "e")
    s3.pipe_file("bucket/p/q.png", (tmp_path / "photos/p0002.png").read_bytes())
    forget()
    done = c2srt(*line)
    assert (done.code, "1 encoded now, 0 removed" in done.err) == (0, True), done.err
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fresh()
    done = c2srt("embed", tmp_path / "photos", "--out", "s3://bucket/e ü", *options(tiny))
    assert (done.code, "cannot be reached" in done.err, "s3://bucket/e ü" in done.err) == (4, True, True), done.err
