"""Prompts around labels."""

from pathlib import Path

from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.text import normalise, read_text

DEFAULT_TEMPLATE = "a photo of a {}."

#: CLIP was published with 80. Every label is encoded in each.
MOST_TEMPLATES = 1000
_HINT = "write one template a line: a photo of a {}."


def is_template(text: str) -> bool:
    """Whether a prompt has one place for a label, and no braces else, which would ask for more than a label."""
    return text.count("{}") == 1 and not set("{}") & set(text.replace("{}", ""))


def read_templates(spec: str) -> tuple[str, ...]:
    """Prompt templates: ``default``, ``clip`` (the 80 that CLIP was published with), or a file with one a line.

    Raises:
        InputError: the file cannot be read or a template has not exactly one ``{}``.
        UsageError: it is neither a name nor a file.
    """
    if spec == "default":
        return (DEFAULT_TEMPLATE,)
    if spec == "clip":
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)
    path = Path(spec)
    if not path.exists():
        raise UsageError(f"{spec!r} is neither 'default' nor 'clip' nor a file", where="--templates", hint=_HINT)
    text = read_text(path, "the templates", _HINT)
    problems = list(text.problems)
    numbered = [(number, normalise(line)) for number, line in enumerate(text.lines, 1)]
    kept = [(number, line) for number, line in numbered if line and not line.startswith("#")]
    for number, line in kept:
        if not is_template(line):
            problems.append(f"line {number}: a template holds {{}} once, for the label: {line!r}")
    if len(kept) > MOST_TEMPLATES:
        problems.append(f"{len(kept):,} templates, at most {MOST_TEMPLATES:,} are read")
    if not kept and not problems:
        problems.append("there is no template in the file")
    if problems:
        raise InputError("these templates cannot be used", where=spec, problems=problems, hint=text.hint or _HINT)
    return tuple(line for _, line in kept)
