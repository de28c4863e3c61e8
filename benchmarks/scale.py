"""Index and tags of very many photographs: seconds and peak memory of what does not look at their pixels.

There are no photographs: rows are synthetic, shards of embeddings are empty files, and a rerun is told that every file
is as it was (``stat`` is measured on the files of ``discover``, which are real and empty). The tags of one part are
written by the tagger's own writer, those of the others are its columns under other names. Every phase is a process of
its own, and what it imports counts. Run: ``python benchmarks/scale.py --rows 10_000_000 --files 1_000_000``; the goals
are then a peak below 2 GiB and a rerun below 60 s.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from c2srt_cli.artifacts import MANIFEST, manifest, write_json
from c2srt_cli.images import ImageFiles, find_images
from c2srt_cli.parts import file_rows
from c2srt_cli.parts.assign import assign
from c2srt_cli.parts.comparison import compare
from c2srt_cli.parts.folder import PART, part_path
from c2srt_cli.parts.index import INDEX, assignment, write_index
from c2srt_cli.progress import Progress

if TYPE_CHECKING:
    from c2srt_cli.tagging.parts.job import TagPartsJob

LABELS = ("boat", "castle", "coffee", "dog", "snow", "street")
NEW = 1000
STAMP = {"size": 4_000_000, "mtime_ns": 1, "ctime_ns": 2}
ROOT = Path("/photographs")
MADE: dict[str, Any] = {
    "root": str(ROOT),
    "backbone": "mini",
    "weights_sha256": "ab" * 32,
    "split_stage": 3,
    "depth": 3,
    "patch_attention": None,
    "streams": "global",
    "num_prefix": 1,
    "grid": [2, 1],
    "width": 2,
    "dim": 4,
    "pixels": {"size": 64, "fit": "crop", "interpolation": "bicubic", "fill": 0, "draft": True},
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "runtime": {"device": "cpu", "dtype": "float32", "batch": 4, "threads": 1},
    "stored_dtype": "bfloat16",
    "torch": "2.9",
}
#: Photographs of a shard, and those whose names are made at once.
SHARD, BLOCK = 256, 1 << 17


def names(start: int, stop: int) -> pa.LargeStringArray:
    """Sorted, a thousand a folder."""
    numbers, text = np.arange(start, stop), pa.large_string()
    folder, file = (pc.utf8_lpad(pa.array(part).cast(text), 8, "0") for part in (numbers // 1000, numbers))
    pieces = (pa.scalar(piece, text) for piece in ("2024/", "/IMG_", ".jpg", ""))
    before, between, after, nothing = pieces
    return pc.binary_join_element_wise(before, folder, between, file, after, nothing)


def library(rows: int) -> pa.LargeStringArray:
    """All names, and those that are new, put together of blocks as the search for files does."""
    new = pa.array([f"new/{number:04d}.jpg" for number in range(NEW)], pa.large_string())
    blocks = [names(start, min(start + BLOCK, rows)) for start in range(0, rows, BLOCK)]
    return pa.concat_arrays([*blocks, new])


def index(start: int, stop: int, *, embedded: bool) -> pa.Table:
    """The index of a part that is done."""
    count, at = stop - start, np.arange(stop - start)
    digests = np.random.default_rng(start).bytes(count * 32).hex()
    columns: dict[str, Any] = {
        "status": pa.repeat("ok", count),
        "sha256": pa.array([digests[64 * i : 64 * i + 64] for i in range(count)]),
        "shard": pa.array(at // SHARD if embedded else at * 0),
        "row": pa.array(at % SHARD if embedded else at),
    }
    columns |= {name: pa.array(np.full(count, value)) for name, value in STAMP.items()}
    table = assignment(names(start, stop))
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def job(out: Path, files: pa.LargeStringArray) -> "TagPartsJob":
    """A real run of the tagger over files that are not there."""
    from c2srt_cli.labels import LabelSet, open_labels
    from c2srt_cli.tagging.parts.job import TagPartsJob
    from c2srt_cli.tagging.sources import ImageSource
    from c2srt_cli.tagging.tag import TagOptions, load_tagger

    options = TagOptions((), LabelSet.of(LABELS), backbone="mini")
    made = load_tagger(
        options,
        open_labels(options.labels),
        None,
        None,
        Progress(),
        lambda encoder, pixels: ImageSource(ROOT, ImageFiles(ROOT, files), (), encoder, pixels, 1),
    )
    return TagPartsJob(made, out)


def write_tags(work: Path, rows: int) -> str:
    """Write tags and their indexes."""
    from c2srt_cli.tagging.parts.part import KIND, SCHEMA, TAGS, publish
    from c2srt_cli.tagging.record import Tag, TaggedImage
    from c2srt_cli.tagging.writers import WriteContext
    from c2srt_cli.tagging.writers.parquet import write_parquet

    out = work / "tags"
    tagged = job(out, names(0, 1))
    given = [TaggedImage(f"{i}", tuple(Tag(LABELS[(i + j) % 6], 0.2, 0.5, 0.1) for j in range(3))) for i in range(PART)]
    started = time.process_time()
    write_parquet(given, work / "one.parquet", WriteContext(ROOT, LABELS))
    seconds = time.process_time() - started
    one = pq.read_table(work / "one.parquet")
    for number, start in enumerate(range(0, rows, PART)):
        stop = min(start + PART, rows)
        folder = part_path(out, number)
        folder.mkdir(parents=True)
        paths = pa.chunked_array([names(start, stop).cast(pa.string())])
        tags = one.slice(0, stop - start).set_column(0, one.field(0), paths)
        pq.write_table(tags, folder / TAGS, compression="zstd", use_dictionary=False, write_statistics=False)
        publish(folder, index(start, stop, embedded=False), tagged.made)
    write_json(out / MANIFEST, manifest(KIND, SCHEMA, tagged.options, {}) | {"parts": -(-rows // PART)})
    return f"{size(out)}; the writer's objects alone: {PART / seconds:,.0f} rows a second"


def write_indexes(work: Path, rows: int) -> str:
    """Write the indexes of embeddings."""
    from c2srt_cli.embeddings.manifest import EmbeddingOptions
    from c2srt_cli.embeddings.part import KIND as PART_KIND
    from c2srt_cli.embeddings.shards import shard_path
    from c2srt_cli.embeddings.store import KIND, SCHEMA

    out, origin = work / "embeddings", EmbeddingOptions.of_manifest(ROOT, {"options": MADE}).origin()
    for number, start in enumerate(range(0, rows, PART)):
        stop = min(start + PART, rows)
        folder = part_path(out, number)
        write_index(folder / INDEX, index(start, stop, embedded=True))
        shards = range(-(-(stop - start) // SHARD))
        for shard in shards:
            shard_path(folder, shard).touch()
        known = {str(shard): {"size": 0, "sha256": "ab" * 32} for shard in shards}
        write_json(folder / MANIFEST, manifest(PART_KIND, SCHEMA, origin, {}) | {"shards": known})
    write_json(out / MANIFEST, manifest(KIND, SCHEMA, MADE, {}) | {"parts": -(-rows // PART)})
    return size(out)


def size(folder: Path) -> str:
    """Of all Parquet files below."""
    return f"{sum(path.stat().st_size for path in folder.rglob('*.parquet')) / 2**20:,.0f} MiB"


def read_index(work: Path, rows: int) -> str:
    """Open embeddings."""
    from c2srt_cli.embeddings.store import Store

    Store._check = lambda *_: None  # type: ignore[method-assign] # which are empty files
    assert len(Store.open(work / "embeddings")) == rows
    return "Store.open"


def read_tags(work: Path, rows: int) -> str:
    """Count labels by columns."""
    from c2srt_cli.tagging.parts.part import TagDataset

    files = [str(part.path) for part in TagDataset.open(work / "tags").parts]
    counts: Counter[str] = Counter()
    for batch in ds.dataset(files, format="parquet").to_batches(columns=["labels"]):
        found = pc.value_counts(batch["labels"].flatten())
        counts.update(dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True)))
    assert sum(counts.values()) == 3 * rows
    return "labels counted by pyarrow.dataset"


def verify_tags(work: Path, rows: int) -> str:
    """Every file against its checksum, every index against its file."""
    from c2srt_cli.tagging.parts.part import TagDataset

    assert TagDataset.open(work / "tags").verify() == rows
    return "checksums and indexes, as c2srt doctor"


def unchanged(_: Path, asked: list[str]) -> np.ndarray:
    """Stands for ``stat``."""
    return np.tile(np.array([list(STAMP.values())]), (len(asked), 1))


def rerun_index(work: Path, rows: int) -> str:
    """What embed does before it encodes: compare, and assign what is new."""
    from c2srt_cli.embeddings.dataset import EmbeddingParts
    from c2srt_cli.embeddings.manifest import EmbeddingOptions

    file_rows.stamps = unchanged  # type: ignore[assignment]
    out, options = work / "embeddings", EmbeddingOptions.of_manifest(ROOT, {"options": MADE})
    parts = EmbeddingParts(out, options, ROOT)
    found = compare(parts, library(rows))
    assert (len(found.new), found.removed, found.live, len(found.marks)) == (NEW, 0, rows, 0)
    assign(out, parts, found)
    return f"embeddings, {NEW:,} new files"


def rerun_tags(work: Path, rows: int) -> str:
    """All of tag, with a model; the new files cannot be read."""
    from c2srt_cli.tagging.parts.tag_parts import tag_parts

    file_rows.stamps = unchanged  # type: ignore[assignment]
    result = tag_parts(job(work / "tags", library(rows)), Progress())
    assert (result.unchanged, len(result.failures), result.open) == (rows, NEW, 0)
    return f"tags with mini loaded, {NEW:,} new files"


def discover(work: Path, files: int) -> str:
    """Find files."""
    assert len(find_images([str(work / "files")]).files) == files
    return "find_images"


def stat(work: Path, files: int) -> str:
    """Find files, and look at each."""
    found = find_images([str(work / "files")])
    started = time.perf_counter()
    for start in range(0, files, PART):
        assert (file_rows.stamps(found.root, found.files.names[start : start + PART].to_pylist())[:, 0] == 0).all()
    return f"of which stat {time.perf_counter() - started:.1f} s"


def make_files(folder: Path, count: int) -> None:
    """Empty files, a thousand a folder."""
    for number in range(count):
        if number % 1000 == 0:
            (folder / f"{number // 1000:06d}").mkdir(parents=True, exist_ok=True)
        (folder / f"{number // 1000:06d}" / f"IMG_{number:08d}.jpg").touch()


PHASES: dict[str, Callable[[Path, int], str]] = {
    "write index": write_indexes,
    "read index": read_index,
    "rerun index": rerun_index,
    "write tags": write_tags,
    "read tags": read_tags,
    "verify tags": verify_tags,
    "rerun tags": rerun_tags,
    "discover": discover,
    "stat": stat,
}


def measure(phase: str, work: Path, count: int) -> None:
    """One phase, in this process."""
    started, before = time.perf_counter(), time.process_time()
    said = PHASES[phase](work, count)
    seconds, cpu = time.perf_counter() - started, time.process_time() - before
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20
    print(f"{phase:11} {count:12,} {seconds:9.1f} s {cpu:9.1f} s CPU {peak:7.2f} GiB  {said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=20_000, help="of discover and stat")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "c2srt-scale", help="deleted after")
    parser.add_argument("--phase", choices=PHASES, help="only this one, on what is there")
    options = parser.parse_args()
    if options.phase:
        measure(options.phase, options.work, options.files if options.phase in ("discover", "stat") else options.rows)
        return
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    try:
        make_files(options.work / "files", options.files)
        for phase in PHASES:
            same = ["--rows", str(options.rows), "--files", str(options.files), "--work", str(options.work)]
            subprocess.run([sys.executable, __file__, "--phase", phase, *same], check=True)
    finally:
        shutil.rmtree(options.work)


if __name__ == "__main__":
    main()
