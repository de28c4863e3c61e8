"""Download a backbone, check it, and record it. The only part of c2srt that downloads weights."""

import errno
import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from c2srt_cli.artifacts import file_sha256, lock, write_json
from c2srt_cli.backbone.checkpoint import build_model
from c2srt_cli.backbone.config import read_config
from c2srt_cli.backbone.hub import hub
from c2srt_cli.backbone.names import CONFIG, RECORD, WEIGHTS, check_name, fetched_folder, home
from c2srt_cli.backbone.purposes import PURPOSES, Licence, licence
from c2srt_cli.backbone.text import TextTower
from c2srt_cli.backbone.towers import tower_of
from c2srt_cli.errors import C2srtError, ServiceError, UsageError

#: Takes bytes done and total of the file that is coming in.
Progress = Callable[[int, int], None]

#: open_clip's names for weights on a hub, the safe one first.
HUB_WEIGHTS = ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]

TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "*.model",
    "config.json",
)


@dataclass(frozen=True, slots=True)
class Offer:
    """What is about to be downloaded.

    Attributes:
        spec: The backbone.
        size: Of its weights in float32, in bytes.
        licence: Of the weights.
        page: Where their publishers describe them.
    """

    spec: str
    size: int
    licence: Licence
    page: str


def fetch(
    spec: str,
    progress: Progress = lambda _done, _total: None,
    announce: Callable[[Offer], None] = lambda _offer: None,
) -> dict[str, Any]:
    """Download, check and record the weights of a backbone, replacing what was fetched before.

    The weights are loaded strictly into their architecture and written as safetensors in open_clip's local-dir layout.
    The record comes last: without it nothing counts as fetched.

    Args:
        spec: A purpose, ``ARCH/TAG`` as open_clip lists them, or ``hf-hub:org/name``.
        progress: Told of the bytes that have come in.
        announce: Told what will be downloaded, before the weights are.

    Returns:
        The record: spec, source, sha256 and size of the weights, sha256 of what was downloaded, date, versions.

    Raises:
        UsageError: there is no such backbone, its architecture is not supported, or its tokenizer needs a package.
        ServiceError: the network, the hub or the disk failed, or what arrived is corrupt.
    """
    if spec in ("auto", "mini") or spec.startswith("local-dir:"):
        raise UsageError(f"{spec!r} is not something to fetch", hint="c2srt fetch default")
    if spec in PURPOSES:
        spec = PURPOSES[spec].spec
    check_name(spec)
    target, downloads = fetched_folder(spec), home() / "downloads" / fetched_folder(spec).name
    with _errors_of(spec, downloads), lock(downloads / ".lock"), hub(offline=False):
        config, candidates = _source(spec, downloads)
        announce(_offer(spec, config["model_cfg"], candidates))  # or refused, before 600 MB have come
        source, path = _download(candidates, downloads, progress)
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = downloads / "staging"  # where a killed run's is known, and locked
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        (staging / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        _convert(config["model_cfg"], path, staging / WEIGHTS[0], source)
        _tokenizer_files(config["model_cfg"], staging)
        (target / RECORD).unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
        weights = target / WEIGHTS[0]
        found = {
            "spec": spec,
            "source": source,
            "source_sha256": file_sha256(path),
            "sha256": file_sha256(weights),
            "size": weights.stat().st_size,
            "mtime_ns": weights.stat().st_mtime_ns,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {name: version(name) for name in ("c2srt", "open_clip_torch", "torch")},
        }
        write_json(target / RECORD, found)
    shutil.rmtree(downloads, ignore_errors=True)
    return found


def _offer(spec: str, model_cfg: dict[str, Any], candidates: list[tuple[str, str]]) -> Offer:
    """What the weights will be, once all that does not depend on them is known to work."""
    model = build_model(model_cfg, where=f"{spec}, as its hub describes it")
    tower_of(model.visual)
    TextTower(model)
    if model_cfg.get("text_cfg", {}).get("hf_tokenizer_name") and importlib.util.find_spec("transformers") is None:
        raise UsageError("its tokenizer needs the package transformers", where=spec, hint="pip install 'c2srt[hf]'")
    size = sum(value.numel() for value in model.parameters()) * 4  # float32, as they are stored
    repository, name = candidates[0]
    page = f"https://huggingface.co/{repository}" if repository else name
    return Offer(spec, size, licence(spec), page)


def _source(spec: str, downloads: Path) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The config to store, and where the weights may be had, best first: ``(repository, file)`` or ``("", url)``."""
    from open_clip import get_model_config, get_pretrained_cfg

    if spec.startswith("hf-hub:"):
        repository = spec.removeprefix("hf-hub:")
        return read_config(_hub_file(repository, CONFIG, downloads).parent), [
            (repository, name) for name in HUB_WEIGHTS
        ]
    arch, tag = spec.split("/", 1)
    known, model_cfg = get_pretrained_cfg(arch, tag), get_model_config(arch)
    # open_clip 3.3 only warns where an architecture's activation is not its weights'; the weights decide here
    model_cfg["quick_gelu"] = bool(known.get("quick_gelu", False))
    preprocess = {key: known[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in known}
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess}
    repository, _, name = known.get("hf_hub", "").rpartition("/")
    if not repository:
        return config, [("", known["url"])]
    names = [name.rsplit(".", 1)[0] + ".safetensors", name] if name else HUB_WEIGHTS
    return config, [(repository, each) for each in names]


def _download(candidates: list[tuple[str, str]], downloads: Path, progress: Progress) -> tuple[str, Path]:
    """The first candidate that exists: where it was and where it lies."""
    from huggingface_hub.errors import RemoteEntryNotFoundError
    from open_clip.pretrained import download_pretrained_from_url

    for repository, name in candidates:
        if not repository:
            return name, Path(download_pretrained_from_url(name, cache_dir=str(downloads)))
        try:
            return f"hf-hub:{repository}/{name}", _hub_file(repository, name, downloads, progress)
        except RemoteEntryNotFoundError as error:
            missing = error
    raise missing


def _hub_file(repository: str, name: str, downloads: Path, progress: Progress | None = None) -> Path:
    from huggingface_hub import hf_hub_download
    from tqdm import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        """Passes on what huggingface_hub would draw."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})
            self.done, self.whole = int(kwargs.get("initial") or 0), int(kwargs.get("total") or 0)

        def update(self, n: float | None = 1) -> None:
            self.done += int(n or 0)
            if progress is not None:
                progress(self.done, self.whole)

    return Path(hf_hub_download(repository, name, cache_dir=downloads / "hub", tqdm_class=Bar))


def _convert(model_cfg: dict[str, Any], source: Path, target: Path, where: str) -> None:
    """Load the downloaded weights strictly, as open_clip does for all the layouts it knows, and write safetensors."""
    from open_clip.factory import load_checkpoint
    from safetensors.torch import save_file

    model = build_model(model_cfg, where=where).to_empty(device="cpu")
    try:
        load_checkpoint(model, str(source), strict=True, weights_only=True)
    except Exception as error:  # torch, safetensors, pickle and zipfile each have their own for a broken file
        raise ServiceError(
            f"what arrived is corrupt or not of this architecture ({str(error).splitlines()[0][:200]})",
            where=where,
            hint="run the same command again; if it stays so, tell those who published the weights",
        ) from error
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, target)


def _tokenizer_files(model_cfg: dict[str, Any], folder: Path) -> None:
    """Copy the tokenizer's files beside the weights, where it comes from a hub."""
    name = model_cfg.get("text_cfg", {}).get("hf_tokenizer_name")
    if not name:
        return
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(name, allow_patterns=list(TOKENIZER_FILES), local_dir=folder)
    except ValueError as error:  # of a name that would be written elsewhere
        raise ServiceError(f"its tokenizer cannot be downloaded ({error})", where=name) from None
    shutil.rmtree(folder / ".cache", ignore_errors=True)


@contextmanager
def _errors_of(spec: str, downloads: Path) -> Iterator[None]:
    """Turn what the hub, the network and the disk throw into errors for people."""
    from httpx2 import HTTPError
    from huggingface_hub import errors

    try:
        yield
    except ServiceError:
        shutil.rmtree(downloads, ignore_errors=True)  # a corrupt file must not be taken for good the next time
        raise
    except C2srtError:
        raise
    except errors.HFValidationError as error:
        raise UsageError(f"is no name of a model on a hub ({error})", where=spec) from None
    except (errors.RepositoryNotFoundError, errors.RemoteEntryNotFoundError) as error:
        what = (
            "the hub does not give it to you"
            if isinstance(error, errors.GatedRepoError)
            else "the hub has no such model"
        )
        kind = UsageError if spec.startswith("hf-hub:") else ServiceError
        raise kind(what, where=spec, hint="check the name; for private or gated models set HF_TOKEN") from error
    except (OSError, HTTPError, errors.FileMetadataError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise ServiceError(
                "the disk is full", where=str(home()), hint="make room, then run the same command again"
            ) from error
        raise ServiceError(
            f"cannot be downloaded ({str(error).splitlines()[0][:200]})",
            where=spec,
            hint="check the network, then run the same command again",
        ) from error
