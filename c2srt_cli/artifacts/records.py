"""Records that come from a disk: what may stand in them is said by their types, and checked where they are read."""

import json
import os
import re
import stat
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from c2srt_cli.errors import InputError, UsageError

#: Largest JSON file that is read.
MAX_BYTES = 256 << 20
#: What a field must be, by the type of pydantic's error, where its own words are those of Python.
WORDS = {
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "dataclass_type": "must be an object",
    "extra_forbidden": "is not known",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "unexpected_keyword_argument": "is not known",
}

T = TypeVar("T")


class Record(BaseModel):
    """An object of JSON whose fields have exactly the types that are written; further fields are passed over."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


def relative_path(path: str) -> str:
    """The path, where it is one of a file below whatever folder it is joined to, on any system, and its only name.

    Raises:
        ValueError: saying what is wrong.
    """
    if "\0" in path:
        raise ValueError("holds a zero byte")
    if path.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", path):
        raise ValueError("is an absolute path")
    if ".." in re.split(r"[/\\]", path):
        raise ValueError("leads out of the folder")
    if any(part in ("", ".") for part in path.split("/")) or (os.name == "nt" and re.match("[A-Za-z]:", path)):
        raise ValueError("is not the plain path of a file")
    return path


def _printable(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a zero byte")
    return text


def all_of(kind: type) -> WrapValidator:
    """For a dataclass that checks itself: an object of its fields and no others, all of them known."""
    names = {field.name for field in fields(kind)}

    def check(value: Any, make: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, dict) and (unknown := sorted(value.keys() - names)):
            # who does not know a field cannot do what it asks for
            raise ValueError(f"has a field {unknown[0]!r} that this version does not know")
        try:
            return make(value)
        except UsageError as error:
            raise ValueError(error.what) from None

    return WrapValidator(check)


Text = Annotated[str, AfterValidator(_printable)]
RelativePath = Annotated[str, AfterValidator(relative_path)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
#: Whole numbers that every reader of JSON holds exactly.
Count = Annotated[int, Field(ge=0, lt=2**53)]
Positive = Annotated[int, Field(ge=1, lt=2**31)]
Probability = Annotated[float, Field(ge=0, le=1)]


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def parse(
    kind: type[T],
    data: bytes | str,
    where: Path | str,
    hint: str | None = None,
    *,
    prefix: str = "",
    what: str = "cannot be used",
) -> T:
    """A record from its JSON.

    Args:
        kind: A `Record`, or any other type that pydantic knows.
        data: The JSON.
        where: Where it stands, for the error.
        hint: What to do if it cannot be used.
        prefix: Put before the names of fields in the error.
        what: What the error says of it.

    Raises:
        InputError: it is no JSON, or not of that kind: every fault is named.
    """
    try:
        found: T = _adapter(kind).validate_json(data, strict=True)  # type: ignore[arg-type] # types can be hashed
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        if faults[0]["type"] == "json_invalid":
            reason = faults[0]["msg"].removeprefix("Invalid JSON: ")
            raise InputError(f"cannot be read as JSON ({reason})", where=str(where), hint=hint) from None
        problems = [_said(fault, prefix) for fault in faults]
        raise InputError(what, where=str(where), problems=problems, hint=hint) from None
    return found


def checked(kind: type[T], value: object, where: Path | str, hint: str | None = None, *, prefix: str = "") -> T:
    """A record from JSON that has been parsed, as `parse` does it."""
    return parse(kind, json.dumps(value), where, hint, prefix=prefix)


def read_bytes(path: Path, hint: str | None = None) -> bytes:
    """The content of a file of JSON.

    Raises:
        InputError: it is missing, no file, too large or cannot be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise InputError("is not a file", where=str(path), hint=hint)
        if found.st_size > MAX_BYTES:
            size, most = found.st_size >> 20, MAX_BYTES >> 20
            raise InputError(f"is too large: {size:,} MiB, at most {most} are read", where=str(path), hint=hint)
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError("no such file", where=str(path), hint=hint) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=str(path), hint=hint) from None


def read_record(path: Path, kind: type[T], hint: str | None = None) -> T:
    """A record from a file of JSON.

    Raises:
        InputError: as `read_bytes` and `parse`.
    """
    return parse(kind, read_bytes(path, hint), path, hint)


def _said(fault: Any, prefix: str) -> str:
    """One fault in words: which field, what it must be, what it is."""
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"])
    name = f"{prefix}{place}".strip(".") or "it"
    if fault["type"] == "missing":
        return f"{name}: is missing"
    if fault["type"] == "value_error":
        return f"{name}: {fault['msg'].removeprefix('Value error, ')} ({_short(fault['input'])})"
    said = re.sub("^(Input|String|Tuple|List) should", "must", fault["msg"])
    return f"{name}: {WORDS.get(fault['type'], said)}, is {_short(fault['input'])}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:60]}…"
