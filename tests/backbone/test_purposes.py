"""What is advised, and what is said of it before it is downloaded."""

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from open_clip.pretrained import list_pretrained

from c2srt_cli.backbone.fetch import Offer, _offer, _source
from c2srt_cli.backbone.purposes import PURPOSES, UNKNOWN, Licence, licence
from c2srt_cli.cli.fetch import _announce
from c2srt_cli.errors import C2srtError, UsageError

KNOWN = [f"{arch}/{tag}" for arch, tag in list_pretrained()]


def offer(spec: str) -> Offer:
    config, candidates = _source(spec, Path("unused"))
    return _offer(spec, config["model_cfg"], candidates)


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were installed: the offer only asks whether it is."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: ModuleSpec(name, None))


@pytest.mark.usefixtures("transformers")
def test_what_is_advised_can_be_had_freely_and_its_towers_work() -> None:
    for spec in {purpose.spec for purpose in PURPOSES.values()}:
        assert spec in KNOWN
        found = offer(spec)
        assert found.licence == Licence("Apache-2.0", "open")
        assert found.page == f"https://huggingface.co/timm/{spec.split('/')[0]}"


@pytest.mark.usefixtures("transformers")
def test_sizes_are_those_of_the_files() -> None:
    found = offer("ViT-B-32-SigLIP2-256/webli")
    # the file of a model of this architecture holds 1,507,459,216 bytes, its header among them
    assert 0 < 1_507_459_216 - found.size < 100_000


@pytest.mark.parametrize(
    ("spec", "name", "kind"),
    [
        ("ViT-B-16/dfn2b", "apple-amlr", "research only"),
        ("MobileCLIP2-S2/dfndr2b", "apple-amlr", "research only"),
        ("MobileCLIP-S1/datacompdr", "apple-ascl", "own terms"),
        ("ViT-B-16-quickgelu/metaclip_400m", "cc-by-nc-4.0", "non-commercial"),
        ("PE-Core-L-14-336/meta", "Apache-2.0", "open"),
        ("ViT-B-16/openai", None, "unknown"),
        ("ViT-B-16-SigLIP/webli", None, "unknown"),
        ("hf-hub:some/SigLIP2", None, "unknown"),
    ],
)
def test_licences(spec: str, name: str | None, kind: str) -> None:
    assert spec in KNOWN or spec.startswith("hf-hub:")
    found = licence(spec)
    assert (found.name, found.kind) == (name, kind)


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        (Licence("Apache-2.0", "open"), "licence: Apache-2.0 (https://hub/x)"),
        (UNKNOWN, "licence: not verified, read it at https://hub/x"),
        (
            Licence("apple-amlr", "research only"),
            "licence: apple-amlr, RESEARCH ONLY: read it at https://hub/x before you use it",
        ),
    ],
)
def test_terms_are_said_before_anything_comes(terms: Licence, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    _announce(Offer("ARCH/TAG", 3 << 30, terms, "https://hub/x"))
    text = capsys.readouterr().err.replace("\n", " ")
    assert said in text
    assert "ARCH/TAG: 3,072 MiB to download" in text and "6.5 GiB of memory" in text


def test_what_could_not_be_used_is_refused_before_it_comes() -> None:
    with pytest.raises(UsageError, match="needs the package transformers") as caught:
        offer("ViT-B-16-SigLIP2/webli")
    assert caught.value.hint == "pip install 'c2srt[hf]'"
    for spec in ("nllb-clip-base-siglip/v1", "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k", "RN50/openai"):
        with pytest.raises(C2srtError):
            offer(spec)
