"""Backbones by name: what the names mean and where their weights lie. Imports nothing heavy."""

import difflib
import os
import re
from pathlib import Path

from c2srt_cli.artifacts import file_sha256
from c2srt_cli.artifacts.records import Count, Record, Sha256, Text, read_record
from c2srt_cli.errors import InputError, UsageError

MINI = Path(__file__).parent / "mini"
CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "model.safetensors")
RECORD = "record.json"
CALIBRATION = "calibration.json"


def home() -> Path:
    """Where c2srt keeps what it fetches and measures: ``C2SRT_HOME``, else ``c2srt`` in the user's cache folder."""
    if own := os.environ.get("C2SRT_HOME"):
        return Path(own).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "c2srt"


def fetched_folder(spec: str) -> Path:
    """The folder of a fetched backbone, there or not."""
    return home() / "backbones" / re.sub(r"^\.+|[/:\\\0]", "__", spec)


class FetchRecord(Record):
    """What ``c2srt fetch`` writes beside weights that it has checked.

    Attributes:
        spec: Name of the backbone.
        sha256: Of its weights.
        size: Of their file, in bytes.
        mtime_ns: When that was written; -1 where it is not known.
        date: When it was fetched, ISO 8601 in UTC; empty where it is not known.
    """

    spec: Text
    sha256: Sha256
    size: Count
    mtime_ns: int = -1
    date: Text = ""


def record(spec: str) -> FetchRecord | None:
    """What ``c2srt fetch`` recorded of a backbone; None unless those weights are there, untouched."""
    value = _recorded(spec)
    if value is None:
        return None
    weights = fetched_folder(spec) / WEIGHTS[0]
    if value.mtime_ns != weights.stat().st_mtime_ns and file_sha256(weights) != value.sha256:
        return None  # touched since it was fetched, and not the same any more
    return value


def _recorded(spec: str) -> FetchRecord | None:
    """The record of weights that are there and of the recorded size."""
    folder = fetched_folder(spec)
    try:
        value = read_record(folder / RECORD, FetchRecord)
        size = (folder / WEIGHTS[0]).stat().st_size
    except (InputError, OSError):
        return None
    return value if (value.spec, value.size) == (spec, size) else None


def fetched() -> list[FetchRecord]:
    """The records of all fetched backbones, by name."""
    found = []
    for path in sorted((home() / "backbones").glob(f"*/{RECORD}")):
        try:
            spec = read_record(path, FetchRecord).spec
        except InputError:
            continue
        if (value := _recorded(spec)) is not None:
            found.append(value)
    return found


def has_mini() -> bool:
    """Whether the embedded backbone's weights are part of this installation."""
    return (MINI / CONFIG).is_file() and (MINI / WEIGHTS[0]).is_file()


def resolve(spec: str) -> tuple[str, str]:
    """The backbone that ``spec`` stands for, and one line for people that says so.

    Args:
        spec: ``auto``, ``mini``, ``ARCH/TAG``, ``hf-hub:org/name`` or ``local-dir:/path``.

    Raises:
        InputError: ``auto``, and there is none on disk.
    """
    if spec == "auto":
        latest = max(fetched(), key=lambda found: found.date, default=None)
        if latest is not None:
            return latest.spec, f"backbone {latest.spec}, fetched last (the small embedded one: --backbone mini)"
        if has_mini():
            return "mini", "backbone mini, embedded (more accurate: c2srt fetch default)"
        raise InputError(
            "there is no backbone on disk: the embedded one's weights are not part of this version",
            where="--backbone auto",
            hint="c2srt fetch default",
        )
    if spec.startswith("local-dir:"):
        folder = Path(spec.removeprefix("local-dir:")).expanduser().absolute()
        spec = f"local-dir:{folder}"
    return spec, f"backbone {spec}"


def locate(spec: str) -> Path:
    """The folder of a resolved backbone: ``open_clip_config.json`` and weights.

    Raises:
        InputError: it is not on disk.
        UsageError: there is no backbone of this name.
    """
    if spec == "mini":
        if not has_mini():
            raise InputError(
                "the embedded backbone's weights are not part of this version",
                where="--backbone mini",
                hint="c2srt fetch default",
            )
        return MINI
    if spec.startswith("local-dir:"):
        return Path(spec.removeprefix("local-dir:"))
    check_name(spec)
    if record(spec) is None:
        raise InputError(f"the weights of {spec} are not on disk, or not whole", hint=f"c2srt fetch {spec}")
    return fetched_folder(spec)


def weights_file(folder: Path) -> Path:
    """The weights in a backbone's folder.

    Raises:
        InputError: there are none that can be read safely.
    """
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    if not folder.is_dir():
        raise InputError("there is no such folder", where=str(folder))
    other = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth"))
    raise InputError(
        f"no {WEIGHTS[0]} here" + (f", only {', '.join(other)}, which could run code when opened" if other else ""),
        where=str(folder),
        hint="save the weights as safetensors" if other else "name a folder in open_clip's local-dir layout",
    )


def check_name(spec: str) -> None:
    """Check that open_clip knows ``ARCH/TAG``, or that ``hf-hub:org/name`` is well formed.

    Raises:
        UsageError: with the nearest names.
    """
    if spec.startswith("hf-hub:"):
        if not re.fullmatch(r"hf-hub:\w[\w.-]*/\w[\w.-]*", spec):
            raise UsageError(f"{spec!r} is not of the form hf-hub:organisation/model")
        return
    arch, _, tag = spec.partition("/")
    if record(spec) is not None:
        return
    from open_clip import list_models, list_pretrained, list_pretrained_tags_by_model

    known = [f"{a}/{t}" for a, t in list_pretrained()]
    if spec in known:
        return
    if arch in list_models():
        tags = list_pretrained_tags_by_model(arch)
        near = difflib.get_close_matches(tag, tags, n=3, cutoff=0.5) or tags
        what = f"{arch} has no weights {tag!r}" if tag else f"{spec!r} names an architecture, not its weights"
        options = [f"{arch}/{t}" for t in near]
    else:
        near = difflib.get_close_matches(spec, known, n=3, cutoff=0.5)
        what, options = f"there is no backbone {spec!r}", near
    hint = f"did you mean {', '.join(options[:5])}?" if options else "use ARCH/TAG as open_clip lists them"
    raise UsageError(what, where="--backbone", hint=hint)


def verify(spec: str) -> None:
    """Hash a backbone's weights again and compare with what was recorded when they were fetched.

    Raises:
        InputError: they differ, or are not on disk.
    """
    known = _recorded(spec)
    if known is None:
        weights_file(locate(spec))
        return
    folder = fetched_folder(spec)
    if file_sha256(weights_file(folder)) != known.sha256:
        raise InputError(
            f"the weights of {spec} are not those that were fetched", where=str(folder), hint=f"c2srt fetch {spec}"
        )
