"""What ``c2srt doctor`` looks at: backbones, the machine, optional parts, and artifacts."""

import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from c2srt_cli.artifacts import artifact_kind, file_sha256, read_json
from c2srt_cli.artifacts.records import Record, Sha256, Text, checked
from c2srt_cli.backbone import names
from c2srt_cli.backbone.purposes import PURPOSES
from c2srt_cli.errors import C2srtError, InputError

State = Literal["ok", "missing", "bad"]
#: From this many cores on, the default backbone tags some ten photographs a second or more.
MANY_CORES = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        part: What was looked at.
        state: ``ok``; ``missing`` for what is optional and not there; ``bad`` for what is there and broken.
        detail: What was found, or what to do.
    """

    part: str
    state: State
    detail: str


def examine(artifacts: list[Path]) -> list[Finding]:
    """Look at everything, and at the artifacts that are named.

    Args:
        artifacts: Folders of embeddings, annotations and runs, files of graphs and tags.
    """
    return [
        *_backbones(),
        *_machine(),
        *_parts(),
        *(_artifact(folder) for folder in artifacts),
    ]


def _backbones() -> list[Finding]:
    findings = [
        Finding("backbone mini", "ok", f"embedded, {_mebibytes(names.weights_file(names.MINI).stat().st_size)}")
        if names.has_mini()
        else Finding("backbone mini", "missing", "the embedded backbone's weights are not part of this version")
    ]
    for record in names.fetched():
        spec = record.spec
        try:
            names.verify(spec)
            findings.append(Finding(f"backbone {spec}", "ok", f"{_mebibytes(record.size)}, sha256 verified"))
        except C2srtError as error:
            findings.append(Finding(f"backbone {spec}", "bad", str(error)))
    purpose = _advised()
    if names.record(PURPOSES[purpose].spec) is None:
        hint = f"advised for this machine: c2srt fetch {purpose}"
        findings.append(Finding(f"backbone {PURPOSES[purpose].spec}", "missing", hint))
    return findings


def _advised() -> str:
    """The purpose whose backbone this machine runs well: the best on a GPU, else by its cores."""
    import torch

    if torch.cuda.is_available():
        return "best"
    return "default" if torch.get_num_threads() >= MANY_CORES else "fast"


def _machine() -> list[Finding]:
    import torch

    from c2srt_cli.backbone.precision import native_precision

    devices = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    return [
        Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads of {os.cpu_count()} cores"),
        Finding("devices", "ok", ", ".join([*devices, f"cpu ({torch.backends.cpu.get_cpu_capability()})"])),
        Finding(
            "precision", "ok", f"{native_precision('cpu')} on the CPU" + (", float16 on the GPU" if devices else "")
        ),
    ]


def _parts() -> list[Finding]:
    findings = []
    for package, extra in (
        ("pillow-heif", "heif"),
        ("rawpy", "raw"),
        ("pillow-jxl-plugin", "jxl"),
        ("transformers", "hf"),
        ("ray", "ray"),
        ("scikit-image", "demo"),
        ("scikit-learn", "demo"),
    ):
        try:
            findings.append(Finding(package, "ok", version(package)))
        except PackageNotFoundError:
            findings.append(Finding(package, "missing", f"pip install 'c2srt[{extra}]'"))
    exiftool = shutil.which("exiftool")
    findings.append(
        Finding("exiftool", "ok", exiftool)
        if exiftool
        else Finding("exiftool", "missing", "not needed to write sidecars; good for looking at them")
    )
    key = bool(os.environ.get("OPENAI_API_KEY"))
    findings.append(
        Finding("OPENAI_API_KEY", "ok", "present") if key else Finding("OPENAI_API_KEY", "missing", "not set")
    )
    return findings


def _artifact(path: Path) -> Finding:
    part = f"artifact {path}"
    try:
        return Finding(part, "ok", _file(path) if path.is_file() else _folder(path))
    except C2srtError as error:
        return Finding(part, "bad", str(error))


def _folder(path: Path) -> str:
    """What is in a folder, once all of it has been read."""
    kind = artifact_kind(path)
    if kind is None:
        raise InputError("there is no manifest", where=str(path), hint="name a folder that a c2srt stage wrote")
    if kind == "run":
        from c2srt_cli.training.run import Run

        run = Run.open(path)
        run.method()  # the weights in their backbone
        seen, calibrated = int(run.seen.sum()), "calibrated" if run.calibration else "not calibrated"
        detail = f"run of {run.options.method} on {run.manifest['options']['backbone']}, {len(run.labels):,} labels"
        return f"{detail}, {seen:,} of them seen, {calibrated}"
    if kind == "annotations":
        from c2srt_cli.datasets.annotations import read_annotations

        annotations = read_annotations(path)
        return f"annotations of {len(annotations):,} photographs by {len(annotations.labels):,} labels"
    if kind == "tags":
        from c2srt_cli.tagging.parts.part import TagDataset

        return f"tags of {TagDataset.open(path).verify():,} photographs, as they were written"
    if kind != "embeddings":
        raise InputError(f"{kind} are of no kind that can be verified", where=str(path))
    from c2srt_cli.embeddings.store import Store

    return f"embeddings of {Store.open(path).verify():,} photographs, every row read"


def _file(path: Path) -> str:
    """What a file is, once all of it has been read."""
    from c2srt_cli.tagging.targets import manifest_path

    if path.suffix == ".json" and not manifest_path(path).exists():
        from c2srt_cli.graph.category_graph import read_graph

        graph = read_graph(path)
        return f"graph of {len(graph.labels):,} labels and {len(graph.edges):,} edges"
    made = checked(_Tags, read_json(manifest_path(path)), manifest_path(path), "tag again, with --overwrite")
    if made.sha256 != file_sha256(path):
        raise InputError("has been changed since c2srt wrote it", where=str(path))
    return f"{made.kind}, as they were written"


class _Tags(Record):
    kind: Text
    sha256: Sha256


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
