"""``profile/``: what was learned of corrections and of people's own keywords, ready to be added to what scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from c2srt_cli.artifacts import (
    MANIFEST,
    UNFINISHED,
    artifact_kind,
    differences,
    file_sha256,
    fingerprint,
    read_manifest,
    write_json,
)
from c2srt_cli.artifacts.records import Count, Probability, Record, RelativePath, Sha256, Text, parse, read_bytes
from c2srt_cli.embeddings.tensors import TensorRecord, read_header, read_tensors, write_tensors
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.predict.cache_model import CacheModel

KIND, SCHEMA = "profile", 1
RECORD, EXAMPLES, RUN = "profile.json", "examples.safetensors", "run"
AGAIN = "learn it again: c2srt learn"
#: What options a difference is called by, for people.
_OPTIONS = {
    "graph": "--graph",
    "patch_attention": "--patch-attention",
    "pixels": "--fit, --draft",
    "run": "--run",
    "scoring": "--set",
    "templates": "--templates",
}


class Verdict(Record):
    """A line of ``corrections.jsonl``: what somebody has said of a label on a photograph.

    Attributes:
        path: Of the photograph, relative to its root.
        sha256: Of its bytes.
        label: As it is written.
        verdict: Whether the photograph shows it.
    """

    path: RelativePath
    sha256: Sha256
    label: Annotated[Text, Field(min_length=1)]
    verdict: Literal["yes", "no"]


class Learned(Record):
    """What was learned of one label.

    Attributes:
        name: The label.
        synonyms: Its other wordings.
        id: Its key, where names repeat.
        yes: Images that show it.
        no: Images that do not.
        precision: Expected of the tags that are given, by cross-validation; None where it cannot be told.
        recall: Likewise.
        precision_before: The same of what was given without the profile.
        recall_before: Likewise.
    """

    name: Text
    synonyms: tuple[Text, ...] = ()
    id: Text = ""
    yes: Count
    no: Count
    precision: Probability | None = None
    recall: Probability | None = None
    precision_before: Probability | None = None
    recall_before: Probability | None = None

    @property
    def label(self) -> Label:
        """The label."""
        return Label(self.name, self.synonyms, None, self.id)


class _Contents(Record):
    root: Text
    labels: tuple[Learned, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, eq=False)
class Profile:
    """A finished profile.

    Attributes:
        folder: Where it lies.
        manifest: What it was made from; its options say what scores it belongs to.
        root: The folder that the paths of the verdicts are relative to.
        learned: Its labels.
        verdicts: What people have said, of any photographs.
        model: What is added to the scores of its labels, in their order; None where a run has learned everything.
    """

    folder: Path
    manifest: dict[str, Any]
    root: Path
    learned: tuple[Learned, ...]
    verdicts: tuple[Verdict, ...]
    model: CacheModel | None

    @classmethod
    def open(cls, folder: Path) -> "Profile":
        """Open a finished profile.

        Raises:
            InputError: there is none, it is unfinished, of another layout, damaged, or was changed since.
        """
        manifest = read_manifest(folder, KIND, SCHEMA)
        contents = parse(_Contents, read_bytes(folder / RECORD, AGAIN), folder / RECORD, AGAIN)
        if manifest["inputs"].get(RECORD) != file_sha256(folder / RECORD):
            raise InputError("was changed after it was learned", where=str(folder / RECORD), hint=AGAIN)
        labels = LabelSet(tuple(one.label for one in contents.labels))
        if len({label.key for label in labels}) < len(labels):
            raise InputError("a label stands twice", where=str(folder / RECORD), hint=AGAIN)
        model = None
        if (EXAMPLES in manifest["inputs"]) != (folder / EXAMPLES).exists():
            raise InputError("its manifest speaks of other files", where=str(folder / EXAMPLES), hint=AGAIN)
        if EXAMPLES in manifest["inputs"]:
            model = _read_examples(folder / EXAMPLES, manifest["inputs"][EXAMPLES], len(labels))
        return cls(folder, manifest, Path(contents.root), contents.labels, contents.verdicts, model)

    @property
    def labels(self) -> LabelSet:
        """Its labels."""
        return LabelSet(tuple(one.label for one in self.learned))

    @property
    def run(self) -> Path | None:
        """The folder of the run that was trained on people's keywords, if there is one."""
        return self.folder / RUN if RUN in self.manifest["inputs"] else None

    def run_beside(self, asked: Path | None) -> Path | None:
        """The run that scores: its own, else the one that is asked for, if any.

        Raises:
            UsageError: there are both.
        """
        if self.run is not None and asked is not None:
            raise UsageError("brings a run of its own", where=f"--profile {self.folder}", hint="leave --run out")
        return asked if self.run is None else self.run

    @property
    def fingerprint(self) -> str:
        """Of everything in it."""
        return fingerprint(self.manifest)

    def check(self, basis: Mapping[str, Any]) -> None:
        """Refuse other scores than those that it was learned on.

        Args:
            basis: Of `basis_of`.

        Raises:
            UsageError: another backbone or other options made them.
        """
        there = self.manifest["options"]
        if there.get("weights_sha256") != basis["weights_sha256"]:
            if there.get("backbone") == basis["backbone"] == "mini":
                raise UsageError(
                    "was learned on an earlier mini than the one that is part of this version",
                    where=f"--profile {self.folder}",
                    hint="learn again from the same corrections: c2srt learn",
                )
            raise UsageError(
                f"was learned on the backbone {there.get('backbone')}, and this is {basis['backbone']}",
                where=f"--profile {self.folder}",
                hint=f"give --backbone {there.get('backbone')}, or learn on this one: c2srt learn",
            )
        without = {"backbone"}
        then, now = ({k: v for k, v in one.items() if k not in without} for one in (there, basis))
        if problems := differences(then, now):
            names = {_OPTIONS.get(problem.partition(":")[0].partition(".")[0]) for problem in problems}
            raise UsageError(
                "was learned with other options",
                where=f"--profile {self.folder}",
                problems=problems,
                hint=f"give {', '.join(sorted(name for name in names if name))} as it was, or learn anew: c2srt learn",
            )

    def model_for(self, labels: LabelSet, device: torch.device | str) -> CacheModel | None:
        """What is added to the scores of any labels, matched by `LabelSet.match`; None where nothing is."""
        if self.model is None:
            return None
        columns = torch.tensor(self.labels.match(labels), dtype=torch.long)
        return self.model.of(columns).to(device) if bool((columns >= 0).any()) else None

    def reworded(self, labels: LabelSet) -> list[str]:
        """Which of some labels have other synonyms than they had when they were learned of."""
        own = self.labels
        return [
            label.name
            for label, place in zip(labels, own.match(labels), strict=True)
            if place >= 0 and self.model is not None and label.wordings != own.labels[place].wordings
        ]


def is_profile(name: str | Path) -> bool:
    """Whether a folder is a profile's, also where that is damaged."""
    return artifact_kind(Path(name)) == KIND


def basis_of(  # noqa: PLR0917
    backbone: str,
    weights_sha256: str,
    patch_attention: str | None,
    pixels: Mapping[str, Any],
    templates: Sequence[str],
    scoring: Mapping[str, Any],
    run: str | None,
    graph: str | None,
) -> dict[str, Any]:
    """What scores depend on beside labels and images, as JSON: a profile belongs to one such basis."""
    return {
        "backbone": backbone,
        "weights_sha256": weights_sha256,
        "patch_attention": patch_attention,
        "pixels": dict(pixels),
        "templates": list(templates),
        "scoring": dict(scoring),
        "run": run,
        "graph": graph,
    }


def _read_examples(path: Path, sha256: str, labels: int) -> CacheModel:
    header = read_header(path, TensorRecord, AGAIN)
    found = read_tensors(path, sha256, AGAIN)
    names = ("examples", "offsets", "thresholds", "weights")
    count, dim = header.layout.get("examples", ("", (0, 0)))[1] or (0, 0)
    layout = {
        "examples": ("F32", (count, dim)),
        "offsets": ("F32", (labels,)),
        "thresholds": ("F32", (labels,)),
        "weights": ("F32", (count, labels)),
    }
    if header.layout != layout or not all(found[name].isfinite().all() for name in names if name != "thresholds"):
        raise InputError("is not what a profile of these labels holds", where=str(path), hint=AGAIN)
    return CacheModel(found["examples"], found["weights"], found["offsets"], found["thresholds"])


def write_profile(
    folder: Path,
    made: dict[str, Any],
    *,
    root: Path,
    learned: Sequence[Learned],
    verdicts: Sequence[Verdict],
    model: CacheModel | None,
) -> None:
    """Write the payload, and the manifest last.

    Args:
        folder: Where ``unfinished.json`` stands.
        made: The manifest; gets the checksums of the payload among its inputs.
        root: See `Profile`, as for what follows.
        learned: Likewise.
        verdicts: Likewise.
        model: Likewise.

    Raises:
        OSError: the disk is full, or the like.
    """
    (folder / MANIFEST).unlink(missing_ok=True)
    contents = _Contents(root=str(root), labels=tuple(learned), verdicts=tuple(verdicts))
    write_json(folder / RECORD, contents.model_dump(mode="json"))
    made["inputs"][RECORD] = file_sha256(folder / RECORD)
    if model is None:
        (folder / EXAMPLES).unlink(missing_ok=True)
    else:
        tensors: dict[str, Tensor] = {name: getattr(model, name).contiguous() for name in vars(model)}
        write_tensors(folder / EXAMPLES, tensors, {})
        sha256 = read_header(folder / EXAMPLES, TensorRecord).record.sha256
        made["inputs"][EXAMPLES] = sha256
    write_json(folder / MANIFEST, made)
    (folder / UNFINISHED).unlink(missing_ok=True)
