"""What somebody could send instead of a file that we have written: the same file, changed in a few places."""

import json
from copy import deepcopy
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

#: What stands where something else should: other types, sizes, numbers that are none, paths that climb.
JUNK: list[Any] = [
    None, True, False, -1, 0, 1, 2, 255, 2**31, 2**53, 2**63, 2**70, -(2**63), 0.5, -0.0, 1e300, float("nan"),
    float("inf"), "", "x", "a\0b", "../../x", "/etc/passwd", "C:\\x", "a/../../b", "p0001.png", "x" * 5000, [], {},
    [[]], [0], [1, 2, 3], {"a": 1}, {"method": "ram"}, "ab" * 32,
]  # fmt: skip
CELLS = [value for value in JUNK if isinstance(value, int | str) and not isinstance(value, bool)]
DEEP = "[" * 5000 + "]" * 5000


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where anything stands in JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(found for key, one in items for found in _places(one, (*place, key)))]


@st.composite
def json_texts(draw: DrawFn, text: str) -> bytes:
    """JSON with another value, a field more, less or twice, an item twice, too deep, or cut off."""
    value = json.loads(text)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(value)[1:]
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        inside = value
        for key in way:
            inside = inside[key]
        match draw(st.sampled_from(["other", "other", "other", "gone", "more", "twice"])):
            case "gone":
                del inside[last]
            case "more" if isinstance(inside, dict):
                inside[draw(st.sampled_from(["evil", "x", "__class__"]))] = deepcopy(draw(st.sampled_from(JUNK)))
            case "twice" if isinstance(inside, list):
                inside.append(deepcopy(inside[last]))
            case _:
                inside[last] = deepcopy(draw(st.sampled_from(JUNK)))
    found = json.dumps(value)
    match draw(st.sampled_from(["as it is"] * 6 + ["cut", "deep", "field twice"])):
        case "cut":
            found = found[: draw(st.integers(0, len(found)))]
        case "deep":
            found = found.replace("[", DEEP[:5000], 1)
        case "field twice":
            found = found.replace("{", '{"kind": 5, "options": [],', 1)
    return found.encode()


@st.composite
def json_lines(draw: DrawFn, text: str) -> bytes:
    """A file of JSON lines, of which one is changed, or that are in another order."""
    lines = [line.encode() for line in text.splitlines()]
    place = draw(st.integers(0, len(lines) - 1))
    match draw(st.sampled_from(["changed", "changed", "changed", "twice", "gone", "last"])):
        case "twice":
            lines.insert(place, lines[draw(st.integers(0, len(lines) - 1))])
        case "gone":
            del lines[place]
        case "last":
            lines.append(lines.pop(place))
        case _:
            lines[place] = draw(json_texts(lines[place].decode()))
    return b"\n".join(lines) + b"\n"


@st.composite
def blobs(draw: DrawFn, data: bytes) -> bytes:
    """Bytes of which some are cut off, others or inserted."""
    place = draw(st.integers(0, max(0, len(data) - 1)))
    some = draw(st.sampled_from([b"", b"\0", b"\xff" * 9, b"PAR1", b"../", b"\n\n[", b'"']))
    match draw(st.sampled_from(["cut", "other", "more", "some"])):
        case "cut":
            return data[:place]
        case "more":
            return data[:place] + some + data[place:]
        case "some":
            return some
        case _:
            return data[:place] + some + data[place + len(some) :]


@st.composite
def tensor_files(draw: DrawFn, data: bytes) -> bytes:
    """A safetensors file with another header, or another record of ours in it."""
    if draw(st.booleans()) and draw(st.booleans()):
        return draw(blobs(data))
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    own = header.get("__metadata__", {})
    if own and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(own)))
        own[name] = draw(json_texts(own[name]) if own[name].startswith("{") else st.just(b"x")).decode()
        text = json.dumps(header).encode()
    else:
        text = draw(json_texts(json.dumps(header)))
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


@st.composite
def tables(draw: DrawFn, data: bytes) -> bytes:
    """A Parquet file with other cells, a row more or less, rows in another order, or a column of another type."""
    table = pq.read_table(pa.BufferReader(data))
    rows = table.to_pylist()
    name = draw(st.sampled_from(table.column_names))
    number = draw(st.integers(0, len(rows) - 1))
    schema: pa.Schema | None = table.schema
    match draw(st.sampled_from(["cell", "cell", "cell", "swap", "twice", "gone", "column", "type", "bytes"])):
        case "cell":
            rows[number][name] = draw(st.sampled_from(CELLS))
        case "swap":  # another row's cell
            other = draw(st.integers(0, len(rows) - 1))
            rows[number][name], rows[other][name] = rows[other][name], rows[number][name]
        case "twice":
            rows.append(rows[number])
        case "gone":
            del rows[number]
        case "column":
            rows, schema = [{key: cell for key, cell in row.items() if key != name} for row in rows], None
        case "type":
            junk = draw(st.sampled_from([1.5, "x", True, b"x", [1], None]))
            rows, schema = [{**row, name: junk} for row in rows], None
        case _:
            return draw(blobs(data))
    try:
        changed = pa.Table.from_pylist(rows, schema)
    except (pa.ArrowException, OverflowError, TypeError):
        return data
    sink = pa.BufferOutputStream()
    pq.write_table(changed, sink)
    return bytes(sink.getvalue())


def mutated(name: str, data: bytes) -> SearchStrategy[bytes]:
    """A file of that name, changed."""
    kinds = {".json": json_texts, ".jsonl": json_lines, ".journal": json_lines}
    for end, kind in kinds.items():
        if name.endswith(end):
            return kind(data.decode())
    if name.endswith(".safetensors"):
        return tensor_files(data)
    return tables(data) if name.endswith(".parquet") else blobs(data)
