"""Search among many cached photographs: seconds after start, and how good the fast form's ranking is.

The photographs of some embeddings are repeated until there are enough. The fast form (globals first, the best 1,000 by
their patches) is compared with the exhaustive one by average precision, label by label, on the embeddings themselves,
and the exhaustive one with the scores of the evaluator (scikit-learn's ``average_precision_score`` for both; equal for
embeddings made with ``--precision float32``, as the evaluator computes in it).
``python benchmarks/search.py EMBEDDINGS ANNOTATIONS [--photographs 100000] [--labels 30]``
"""

import argparse
import shutil
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from c2srt_cli.artifacts import MANIFEST, manifest, write_json
from c2srt_cli.datasets.annotations import Annotations, read_annotations
from c2srt_cli.embeddings.part import publish
from c2srt_cli.embeddings.shards import read_shard, shard_path
from c2srt_cli.embeddings.store import KIND, SCHEMA, Store
from c2srt_cli.embeddings.tensors import read_tensors, write_tensors
from c2srt_cli.evaluation.protocol import protocol
from c2srt_cli.evaluation.score import predictor, score_split
from c2srt_cli.parts.folder import part_path
from c2srt_cli.parts.index import Row, table_of
from c2srt_cli.progress import Progress
from c2srt_cli.search import search as module
from c2srt_cli.search.query import Query
from c2srt_cli.search.search import prepare_search, search
from c2srt_cli.tagging.options import TagOptions

QUERIES = ("a red boat at dusk", "a cup of coffee", "an old castle on a hill", "people dancing", "snow")


def repeated(source: Path, folder: Path, photographs: int) -> Path:
    """Embeddings of so many photographs: those of ``source`` again and again, each time in a folder of their own."""
    store = Store.open(source)
    rows: list[Row] = []
    number, target = 0, part_path(folder, 0)
    headers = {n: (part, read_shard(part.folder, n, store.options)) for part in store.parts for n in part.shards}
    while len(rows) < photographs:
        for own, (part, shard) in headers.items():
            again = [replace(row, path=f"{number:05d}/{row.path}", shard=number) for row in shard.rows]
            tensors = read_tensors(shard_path(part.folder, own), None)
            record = {"rows": [asdict(row) for row in again], "complete": True, "made": store.options.origin()}
            write_tensors(shard_path(target, number), tensors, record)
            rows += again
            number += 1
            if len(rows) >= photographs:
                break
    publish(target, table_of(sorted(rows, key=lambda row: row.path)), store.options)
    write_json(folder / MANIFEST, manifest(KIND, SCHEMA, store.manifest["options"], {}) | {"parts": 1})
    return folder


def seconds(folder: Path, query: Query) -> tuple[float, float]:
    """Until the search is ready, and of the search itself."""
    started = time.perf_counter()
    ready = prepare_search(query, TagOptions((str(folder),), query.labels), Progress())
    between = time.perf_counter()
    search(ready, Progress())
    return between - started, time.perf_counter() - between


def precisions(folder: Path, known: Annotations, labels: list[int]) -> dict[str, np.ndarray]:
    """Average precision of each label on the test images: of both forms of the search, and of the evaluator."""
    store = Store.open(folder)
    one = predictor("zero-shot", store, known, None, Progress())
    with tempfile.TemporaryDirectory() as scores:
        file = score_split(one, store, known, protocol("table"), folder=Path(scores), progress=Progress())["GZSL"]
        wanted, rows = file.read(np.array(labels)), file.rows
    place = {known.paths[row]: number for number, row in enumerate(rows.tolist())}
    found: dict[str, list[float]] = {"fast": [], "exact": [], "evaluate": []}
    present = known.positive.select(rows).dense(np.array(labels))
    for number, label in enumerate(labels):
        truth = present[:, number]
        query = Query((known.labels.names[label],))
        ready = prepare_search(query, TagOptions((str(folder),), query.labels), Progress())
        for form, exact in (("fast", False), ("exact", True)):
            ranking = np.full(len(rows), -2.0)  # those that are not among the best come last
            for hit in search(ready, Progress(), exact=exact).hits:
                if hit.path in place:
                    ranking[place[hit.path]] = hit.score
            found[form].append(average_precision_score(truth, ranking))
        found["evaluate"].append(average_precision_score(truth, wanted[number]))
    return {name: np.array(values) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--photographs", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=30)
    parser.add_argument("--scratch", type=Path, help="Where the repeated embeddings are made, and kept.")
    asked = parser.parse_args()
    known = read_annotations(asked.annotations)
    tested = np.unique(known.positive.select(np.flatnonzero(known.split == "test")).labels)
    drawn = np.random.default_rng(0).permutation(tested)[: asked.labels].tolist()
    for name, values in precisions(asked.embeddings, known, drawn).items():
        print(f"{name:>9}: mean AP of {len(drawn)} labels {100 * values.mean():.2f}")
    folder = asked.scratch or Path(tempfile.mkdtemp())
    try:
        if not (folder / MANIFEST).exists():
            folder.mkdir(parents=True, exist_ok=True)
            repeated(asked.embeddings, folder, asked.photographs)
        print(f"{asked.photographs:,} photographs, the best {module.CANDIDATES:,} by their patches:")
        for text in QUERIES:
            start, own = seconds(folder, Query((text,)))
            print(f"  ready after {start:5.2f} s, found after {own:5.2f} s more: {text}")
    finally:
        if asked.scratch is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
