"""What a graph adds to tagging without a run: processor time with it by the time without, backbone ``mini``.

Graphs of 20, 400 and 1,006 labels; passes in turns, the least of each counts. Photographs of 640x480, and embeddings of
them, which leave only the scoring: background labels are scored too, and labels hear their sources.
``OMP_NUM_THREADS=1 python benchmarks/tag_graph.py``, one thread beside other work:

| labels | photographs, ms | with graph | ratio | embeddings, ms | with graph | ratio |
| -----: | --------------: | ---------: | ----: | -------------: | ---------: | ----: |
|     20 |            12.3 |       13.0 |  1.06 |           0.39 |       0.71 |  1.81 |
|    400 |            12.2 |       13.1 |  1.07 |           0.70 |       0.97 |  1.38 |
|  1,006 |            12.3 |       12.9 |  1.05 |           1.05 |       1.39 |  1.33 |
"""

import argparse
import tempfile
import time
from pathlib import Path

from workload import write_images

from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.graph.category_graph import read_graph
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.tag import TagOptions, prepare_tagging
from c2srt_cli.tagging.tagger import tag_images

GRAPHS = ("voc-20", "everyday", "nus-wide-1006")


def seconds(job: TagJob) -> float:
    """Of all processors, for all images of a job."""
    started = time.process_time()
    for _batch in tag_images(job, job.source.items, Progress()):
        pass
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "c2srt-bench", help="where inputs are made"
    )
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    work: Path = options.work
    write_images(work / "graph", options.images, width=640, height=480)
    made = work / "embeddings-graph"
    embed(
        prepare_embedding(EmbedOptions(inputs=(str(work / "graph"),), out=made, backbone="mini"), Progress()),
        Progress(),
    )
    print(f"{'labels':>8}{'':14}{'ms an image':>12}{'with graph':>12}{'ratio':>8}")
    for name in GRAPHS:
        names = read_graph(name).labels.names
        labels = work / f"{name}.txt"
        labels.write_text("\n".join(names) + "\n", encoding="utf-8")
        for what, source, backbone in (("photographs", work / "graph", "mini"), ("embeddings", made, None)):
            jobs = [
                prepare_tagging(TagOptions((str(source),), labels, graph=graph, backbone=backbone), Progress())
                for graph in (None, name)
            ]
            times = [[seconds(job) for job in jobs] for _ in range(options.repeats)]
            plain, graph = (1000 * min(column) / options.images for column in zip(*times, strict=True))
            print(f"{len(names):8,}{what:>14}{plain:12.2f}{graph:12.2f}{graph / plain:8.2f}", flush=True)


if __name__ == "__main__":
    main()
