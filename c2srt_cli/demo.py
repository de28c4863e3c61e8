"""The photographs of ``c2srt demo``: real ones that come inside scikit-image and scikit-learn."""

from importlib.util import find_spec
from pathlib import Path

from c2srt_cli.errors import UsageError

#: Photographs by the package that carries them; drawings, scans and test patterns there are left out.
PHOTOGRAPHS = {
    "skimage": (
        "data",
        ("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "motorcycle_left.png", "rocket.jpg"),
    ),
    "sklearn": ("datasets/images", ("china.jpg", "flower.jpg")),
}


def demo_photographs() -> list[Path]:
    """Paths of the photographs.

    Raises:
        UsageError: the packages that carry them are not installed.
    """
    found = []
    for package, (folder, names) in PHOTOGRAPHS.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise UsageError(f"the photographs of {package} are not installed", hint="pip install 'c2srt[demo]'")
        found += [Path(spec.origin).parent / folder / name for name in names]
    return found
