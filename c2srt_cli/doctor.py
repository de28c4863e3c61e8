"""What ``c2srt doctor`` looks at: backbones, the machine, optional parts, and artifacts."""

import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from c2srt_cli.artifacts import artifact_kind, file_sha256, read_json
from c2srt_cli.backbone import names
from c2srt_cli.errors import C2srtError, InputError

State = Literal["ok", "missing", "bad"]


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
        artifacts: Folders of embeddings and runs, files of tags.
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
        spec = str(record["spec"])
        try:
            names.verify(spec)
            findings.append(Finding(f"backbone {spec}", "ok", f"{_mebibytes(record['size'])}, sha256 verified"))
        except C2srtError as error:
            findings.append(Finding(f"backbone {spec}", "bad", str(error)))
    if names.record(names.PREFERRED) is None:
        hint = f"not on disk; c2srt fetch {names.PREFERRED}"
        findings.append(Finding(f"backbone {names.PREFERRED}", "missing", hint))
    return findings


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
    for package, extra in (("pillow-heif", "heif"), ("scikit-image", "demo"), ("scikit-learn", "demo")):
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


def _artifact(folder: Path) -> Finding:
    part = f"artifact {folder}"
    try:
        if folder.is_file():
            return _tags(part, folder)
        kind = artifact_kind(folder)
        if kind is None:
            raise InputError("there is no manifest", where=str(folder), hint="name a folder that a c2srt stage wrote")
        if kind == "run":
            return _run(part, folder)
        if kind != "embeddings":
            raise InputError(f"{kind} are of no kind that this version knows", where=str(folder))
        from c2srt_cli.embeddings.store import Store

        store = Store.open(folder)
        count = store.verify()
    except C2srtError as error:
        return Finding(part, "bad", str(error))
    return Finding(part, "ok", f"embeddings of {count:,} photographs, every row read")


def _run(part: str, folder: Path) -> Finding:
    from c2srt_cli.training.run import Run

    run = Run.open(folder)
    run.method()  # the weights in their backbone
    seen = int(run.seen.sum())
    kind = "calibrated" if run.calibration else "not calibrated"
    detail = f"run of {run.options.method} on {run.manifest['options']['backbone']}, {len(run.labels):,} labels"
    return Finding(part, "ok", f"{detail}, {seen:,} of them seen, {kind}")


def _tags(part: str, path: Path) -> Finding:
    from c2srt_cli.tagging.targets import manifest_path

    made = read_json(manifest_path(path))
    if made.get("sha256") != file_sha256(path):
        raise InputError("has been changed since c2srt wrote it", where=str(path))
    return Finding(part, "ok", f"{made['kind']}, as they were written")


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
