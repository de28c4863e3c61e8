from collections.abc import Sequence

import pytest

from c2srt_cli.backbone.registry import Backbone, load_backbone
from c2srt_cli.embeddings.known_words import hardly_known, note_hardly_known
from c2srt_cli.graph.category_graph import read_graph
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.progress import Progress

FOREIGN = {
    "German": "Hund Katze Gebirge Schmetterling Vogel Brücke Baum Blume Straße Fahrrad Flugzeug Wolke Pferd Löffel",
    "French": "chien montagne papillon oiseau arbre voiture vélo avion nuage cheval mouton cuillère fourchette chaise",
    "Spanish": "perro montaña mariposa pájaro puente árbol coche bicicleta nube caballo oveja cuchara cuchillo silla",
    "invented": "xqzzv blorptang frindle zorkmid quibbleflux snarvel plimtor gwexon trundlefop vaxilor mibbet krelth",
    "Japanese": "写真 犬 自転車 蝶",
    "Russian": "собака кошка бабочка велосипед",
}
ENGLISH = ("cat", "fire hydrant", "traffic light", "giraffe", "wine glass", "surfboard", "street sign", "orchid")


@pytest.fixture(scope="module")
def mini() -> Backbone:
    return load_backbone("mini")


def asked(backbone: Backbone, words: Sequence[str]) -> list[str]:
    return hardly_known(backbone, LabelSet.of(words))


@pytest.mark.parametrize(
    ("graph", "named"),
    [("coco-80", []), ("everyday", []), ("voc-20", []), ("corel5k-374", ["booby", "foals", "tusks"])],
)
def test_english_labels_are_known(mini: Backbone, graph: str, named: list[str]) -> None:
    """Of the three that are named, the small tower's nearest everyday words are teddy bear, seagull and tulip."""
    assert hardly_known(mini, read_graph(graph).labels) == named


@pytest.mark.parametrize("language", FOREIGN)
def test_most_words_of_a_list_in_another_language_are_named(mini: Backbone, language: str) -> None:
    words = FOREIGN[language].split()
    assert len(asked(mini, words)) >= 0.8 * len(words)


def test_strange_words_among_english_ones(mini: Backbone) -> None:
    """A word that is cut large, as hydrant or bicicleta, is no stranger among words that are known."""
    assert asked(mini, [*ENGLISH, "Katze", "xqzzv", "red frindle", "bicicleta"]) == ["Katze", "xqzzv", "red frindle"]


def test_a_label_with_one_wording_that_is_known_is_known(mini: Backbone) -> None:
    labels = LabelSet(
        (Label("Katze", ("cat",)), Label("animal|Katze"), Label("Katze", ("xqzzv",), id="3"), Label("2 + 2"))
    )
    assert hardly_known(mini, labels) == ["animal|Katze", "Katze (3)"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cat"], []),
        (["Katze"], ["1 label that the text tower of mini hardly knows (…): Katze"]),
        (
            FOREIGN["invented"].split(),
            [
                "12 labels that the text tower of mini hardly knows (…): xqzzv, blorptang, frindle, zorkmid, "
                "quibbleflux, snarvel, plimtor, gwexon and 4 more"
            ],
        ),
    ],
)
def test_one_line(mini: Backbone, words: list[str], said: list[str]) -> None:
    notes: list[str] = []
    note_hardly_known(mini, LabelSet.of(words), Progress(note=notes.append))
    why = "invented, rare or of another language?"
    assert [note.replace(why, "…") for note in notes] == said
