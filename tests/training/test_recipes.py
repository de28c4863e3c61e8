"""The recipes, by what stands in their headers: each command is run as it is written there, on tiny official files."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from photos import write_photos
from typer.core import TyperGroup

from c2srt_cli.cli import app, main
from c2srt_cli.datasets import open_images
from c2srt_cli.datasets.annotations import read_annotations
from c2srt_cli.datasets.coco import SEEN_48, UNSEEN_17
from c2srt_cli.embeddings.store import Store
from c2srt_cli.evaluation.protocol import protocol
from c2srt_cli.labels import DEFAULT_TEMPLATE
from c2srt_cli.text import read_toml
from c2srt_cli.training.config import as_toml, resolve

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.toml") if not path.stem.startswith("ablate-"))
#: Images of every split.
COUNT = 6
#: Of what is embedded here; the recipes' own are for a GPU.
MACHINE = ["--batch-size", "4", "--workers", "1"]


@pytest.fixture(autouse=True)
def _one_thread(tiny: str) -> None:
    """A model this small loses time on more."""


def header(name: str) -> str:
    """The comment before the options."""
    return (FOLDER / f"{name}.toml").read_text().split("\nmethod =")[0]


def commands(name: str) -> list[str]:
    """The commands of a header, in order, each on one line."""
    text = re.sub(r" \\\n# +", " ", header(name))
    return re.findall(r"^#   ((?:c2srt|mkdir|awk) .*)$", text, re.MULTILINE)


def ram_json(folder: str, root: str, prefix: str, *lists: tuple[str, str]) -> Callable[[], None]:
    """Writes RAM's lists into a folder, with absolute paths as its authors have them, and the images.

    Args:
        folder: With the lists.
        root: With the images.
        prefix: Of the paths in the lists.
        lists: The name of each and its classes, with commas between.
    """

    def write() -> None:
        Path(folder).mkdir(parents=True)
        for number, (name, joined) in enumerate(lists):
            classes = joined.split(",")
            files = write_photos(Path(root), COUNT, start=number * COUNT)
            images = [
                [f"{prefix}{path.name}", [classes[i % len(classes)], classes[0], classes[0]] if i else []]
                for i, path in enumerate(files)
            ]
            (Path(folder) / f"{name}.json").write_text(json.dumps({"images": images, "classes": classes}))

    return write


def both(name: str, root: str, prefix: str, classes: str) -> Callable[[], None]:
    """The lists of a set that has no published division."""
    return ram_json(f"RAM/datasets/json/{name}", root, f"{prefix}/", ("train", classes), ("test", classes))


def nus_wide() -> None:
    """The official files, with labels of the graph; images 0 to 5 train, the others test."""
    rng = np.random.default_rng(0)
    concepts, tags = ["dog", "sky", "leaf"], ["nature", "sky", "dogs", "blue", "water", "night"]
    for path in write_photos(Path("NUS-WIDE/Flickr/actor"), 2 * COUNT, suffix=".jpg"):
        path.rename(path.with_stem(f"{path.stem[1:]}_2124494179"))
    images = [f"actor\\{i:04}_2124494179.jpg" for i in range(2 * COUNT)]
    given, truth = rng.integers(0, 2, (2 * COUNT, len(tags))), rng.integers(0, 2, (2 * COUNT, len(concepts)))
    files: dict[str, list[object]] = {
        "ConceptsList/Concepts81.txt": [*concepts],
        "NUS_WID_Tags/TagList1k.txt": [*tags],
        "NUS_WID_Tags/AllTags1k.txt": ["".join(f"{cell}\t" for cell in row) for row in given],
        "ImageList/Imagelist.txt": [*images],
        "ImageList/TrainImagelist.txt": [*images[:COUNT]],
        "ImageList/TestImagelist.txt": [*images[COUNT:]],
    }
    files |= {f"Groundtruth/AllLabels/Labels_{name}.txt": truth[:, i].tolist() for i, name in enumerate(concepts)}
    for name, lines in files.items():
        path = Path("NUS-WIDE", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))


def openimages() -> None:
    """The official CSVs: four trainable classes, one of them with a comma, and the 400 unseen ones."""
    unseen = Path(open_images.__file__).with_name("open_images_unseen.txt").read_text().split()
    seen = {"/m/01h44": '"Bat, the animal"', "/m/01yrx": "Snowshoe", "/m/0l_yv": "Snowshoe", "/m/0bt9lr": "Dog"}
    root = Path("OpenImages")
    root.mkdir()
    (root / "classes-trainable.txt").write_text("".join(f"{mid}\n" for mid in seen))
    names = [f"{mid},{name}\n" for mid, name in [*seen.items(), *((mid, f"Thing {mid[3:]}") for mid in unseen)]]
    (root / "class-descriptions.csv").write_text("".join(names))
    for part, asked in (("train", [*seen]), ("validation", [*seen]), ("test", [*seen, *unseen[:3]])):
        rows = ["ImageID,Source,LabelName,Confidence\n"]
        for number, path in enumerate(write_photos(root / part, COUNT, suffix=".jpg")):
            rows += [f"{path.stem},verification,{mid},{(number + i) % 2}\n" for i, mid in enumerate(asked)]
        (root / part / f"{part}-annotations-human-imagelabels.csv").write_text("".join(rows))


NAS = "/mnt/nas/TrueNas1/tanhao"
COCO = [",".join(words) for words in (SEEN_48.split(), UNSEEN_17.split())]
#: Writes what a recipe reads, below the working folder.
OFFICIAL: dict[str, Callable[[], None]] = {
    "ram-coco": ram_json(
        "RAM/datasets/json",
        "COCO/trainval2014",
        f"{NAS}/COCO/trainval2014/",
        ("train_48_filtered", COCO[0]),
        ("test_65_filtered", ",".join(COCO)),
    ),
    "ram-nus": nus_wide,
    "ram-pa100k": both(
        "PA100K",
        "PA100K",
        f"{NAS}/PAR/PA100K/release_data/release_data",
        "Female,AgeOver60,Hat,HoldObjectsInFront,Skirt",
    ),
    "ram-rap": both("RAP", "RAP_dataset", f"{NAS}/PAR/RAP/RAP_dataset", "Female,AgeLess16,TShirt,SSBag,Pusing"),
    "ram-multiscene": both(
        "MultiScene",
        "MultiScene-Clean/images",
        f"{NAS}/RS/MultiScene/MultiScene-Clean/images",
        "Apron,Solar Pannel,Wind Trubine,Sea,Park",
    ),
    "ram-mlrsnet": both("MLRSNet", "MLRSNet/Images", f"{NAS}/RS/MLRSNet/Images", "habor,sea,ships,trees,bare soil"),
    "c2srt-paper": nus_wide,
    "label-propagation-nus": nus_wide,
    "label-propagation-openimages": openimages,
}


def test_every_recipe_is_tried() -> None:
    assert sorted(OFFICIAL) == RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_every_option_is_known_and_means_what_it_says(name: str, tmp_path: Path) -> None:
    given = read_toml(FOLDER / f"{name}.toml")
    assert name.startswith(given["method"])
    options = resolve(given["method"], given)
    resolved = options.model_dump()
    for key, value in given.items():
        assert (resolved[key] | value if isinstance(value, dict) else value) == resolved[key], key
    (tmp_path / "whole.toml").write_text(as_toml(options))
    assert resolve(options.method, read_toml(tmp_path / "whole.toml")) == options


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("ram-")])
def test_ram_is_as_its_code_has_it(name: str) -> None:
    """configs/coco.yml, configs/nus.yml and config/defaults.py of its repository."""
    given = read_toml(FOLDER / f"{name}.toml")
    published: dict[str, dict[str, Any]] = {
        "training": {
            "batch_size": 32,  # IMS_PER_BATCH
            "epochs": 6,  # MAX_EPOCHS
            "lr_new": 5e-5,  # BASE_LR, of the temperatures
            "weight_decay": 1e-4,  # WEIGHT_DECAY
            "warmup": 3 / 6,  # WARMUP_EPOCHS
            "ema": 0.9997,  # EMA_DECAY
        },
        "patches": {"ot_reg": 0.1, "tkt_weight": 0.05},  # OT_REG, OT_REGSC
        "adapters": {"stages": len([9, 10, 11]), "norm": "batch"},  # DEPTH_VISION
        "text_tokens": {"layers": len([6, 7, 8, 9, 10, 11] if name == "ram-nus" else [9, 10, 11])},  # DEPTH_TEXT
        "loss": {"kind": "mmc"},  # LOSS_TYPE
    }
    assert {group: {key: given[group][key] for key in own} for group, own in published.items()} == published
    seen, temperature = (925, 2e-4) if name == "ram-nus" else (48, 2e-3)  # TEMPERATURE
    assert given["local_logit_scale"] == pytest.approx(1 / (seen * temperature), abs=0.05)


def test_rams_prompt_is_our_default() -> None:
    from open_clip import tokenize

    theirs, ours = (tokenize([template.format("tennis court")]) for template in ("A photo of a {}.", DEFAULT_TEMPLATE))
    assert torch.equal(theirs, ours)


@pytest.mark.parametrize("name", RECIPES)
def test_the_commands_of_a_header(
    name: str, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(FOLDER)
    OFFICIAL[name]()
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    done = []
    for line in commands(name):
        words = shlex.split(line.replace("ViT-B-16/openai", tiny))
        if words[0] != "c2srt":
            subprocess.run(line, shell=True, check=True)
            continue
        verb = words[1]
        done.append(verb)
        context = group.commands[verb].make_context(verb, words[2:])
        if verb == "fetch":
            continue
        if verb == "evaluate":
            assert protocol(read_annotations(Path("A")).dataset, context.params["protocol"])
            continue
        more = {"embed": MACHINE, "train": ["--dry-run"]}.get(verb, [])
        monkeypatch.setattr(sys, "argv", [*words, *more])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert end.value.code == 0, printed.err
        if verb == "train":
            given = read_toml(FOLDER / f"{name}.toml")
            assert printed.out == as_toml(resolve(given["method"], given))
            if name.startswith("ram-"):  # the tiny text tower has two layers
                assert "text tokens learn in each" in " ".join(printed.err.split())
            else:
                assert re.search(r"\d+ edges from seen labels", " ".join(printed.err.split()))
    assert done[0] == "fetch"
    assert [verb for verb in done if verb != "build-graph"][:4] == ["fetch", "prepare", "embed", "train"]
    found, store = read_annotations(Path("A")), Store.open(Path("E"))
    assert 0 < found.seen.sum() < len(found.seen)
    assert {"train", "test"} <= set(found.split)
    assert len(store) >= 2 * COUNT
    assert store.manifest["options"]["patch_attention"] == ("value-all" if name.startswith("ram-") else None)
    assert not Path("run").exists()
