"""Strategies: valid JSON and bytes, with something hostile put in."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

_DEEP = "<deep {}>"
NAMES = (
    "", " ", ".", "..", "../x", "../../etc/passwd", "/etc/passwd", "a/b", "a\\b", "x\0y", "\0",
    "a\nb", "\x1b[2J", "[/red]", "[bold]x", ":boom:", "\ud800", "\u202e", "é" * 40, "x" * 300,
    "x" * 5000, "~nobody_here/x", "~", "%41", "{0}", "%s", "-", "--help", "all", "none", "con",
    "hostile_canary:NAME", "hostile_canary", "os:system", "NaN", "Infinity", "-1", "1e999", "null",
    "true", "<deep 30>", "'; DROP TABLE studies; --", "$(touch x)", "`touch x`",
)  # fmt: skip
"""Texts that have hurt programs: paths, control characters, markup, templates, modules."""

names = st.one_of(st.sampled_from(NAMES), st.text(max_size=12))
numbers = st.one_of(
    st.sampled_from(
        [0, -1, 1, 2**31, 2**63 - 1, 2**63, 10**30, 10**400, 0.5, 1.5, -0.0, 1e300, 1e308, 5e-324]
    ),
    st.floats(),
    st.integers(-3, 12),
)
junk = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    names,
    st.sampled_from([_DEEP.format(depth) for depth in (50, 400, 900, 950, 980, 2000, 100_000)]),
    st.lists(st.one_of(numbers, names, st.none()), max_size=4),
    st.dictionaries(names, st.one_of(numbers, names), max_size=3),
    st.just([[[[{"a": [{}]}]]]]),
    st.just("<wide>"),
)


def to_text(value: Any) -> str:
    """Writes JSON with NaN and infinity; `<deep N>` is N nested lists, `<wide>` a long list."""
    text = json.dumps(value).replace('"<wide>"', f"[{'0,' * 5000}0]")
    return re.sub(r'"<deep (\d+)>"', lambda found: "[" * int(found[1]) + "]" * int(found[1]), text)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yields every container of a JSON value with each of its keys or indices."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


@st.composite
def mutated(draw: st.DrawFn, valid: Any) -> Any:
    """Draws a JSON value that differs from a valid one in one to three places."""
    root = {"": json.loads(json.dumps(valid))}
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(root))
        container, key = found[draw(st.integers(0, len(found) - 1))]
        change = draw(st.sampled_from(["replace"] * 6 + ["remove", "add", "repeat"]))
        new = copy.deepcopy(container[key] if change == "repeat" else draw(junk))
        if change == "replace" or container is root:
            container[key] = new
        elif change == "remove":
            del container[key]
        elif isinstance(container, list):
            container.insert(key, new)
        else:
            container[draw(names)] = new
    return root[""]


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Draws bytes that differ from valid ones: cut, flipped, moved, repeated or recoded."""
    kind = draw(st.sampled_from(["cut", "flip", "put", "drop", "repeat", "other", "same"]))
    place = draw(st.integers(0, max(len(data) - 1, 0)))
    if kind == "cut":
        return data[:place]
    if kind == "flip":
        changed = bytearray(data)
        for _ in range(draw(st.integers(1, 4))):
            where = draw(st.integers(0, len(data) - 1))
            changed[where] ^= 1 << draw(st.integers(0, 7))
        return bytes(changed)
    if kind == "put":
        return data[:place] + draw(st.binary(min_size=1, max_size=8)) + data[place:]
    if kind == "drop":
        return data[:place] + data[place + draw(st.integers(1, 40)) :]
    if kind == "repeat":
        return data + data
    if kind == "other":
        return draw(
            st.one_of(
                st.binary(max_size=40),
                st.sampled_from(
                    [
                        b"", b"\0" * 4096, b"PK\x05\x06" + b"\0" * 18, b"\x1f\x8b", b"\x80\x04.",
                        b"\xff\xfe{\0}\0", b"\xef\xbb\xbf" + data, b"[" * 100_000, b"9" * 10_000,
                        b"-" * 5000, b'{"a":' * 2000, data.replace(b"\n", b"\r\n"),
                    ]
                ),
            )
        )  # fmt: skip
    return data
