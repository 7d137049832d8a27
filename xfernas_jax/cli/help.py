"""What `--help` prints: the verbs, or the flags of one by subject."""

import re
import textwrap
from collections.abc import Iterable
from typing import Any

from absl import flags

from xfernas_jax.cli.verbs import GROUPS, VERBS, Verb, groups_of

_INDENTED: dict[str, Any] = {
    "width": 100,
    "initial_indent": " " * 6,
    "subsequent_indent": " " * 6,
    "break_long_words": False,
}
_ADDED_BY_ABSL = re.compile(r"^<[^>]*>: |;\s+repeat this option to specify a list of values$")
_KINDS = {
    "int": "INT",
    "float": "NUMBER",
    "comma separated list of strings": "A,B,...",
    "string": "TEXT",
    "multi string": "TEXT",
}


def overview(program: str) -> str:
    """Returns the verbs with a line each, and how to get at the flags."""
    names = {v.name: f"{program} {v.name} {v.takes}".rstrip() for v in VERBS.values()}
    width = max(map(len, names.values()))
    lines = [f"  {names[verb.name]:<{width}}  {verb.summary}" for verb in VERBS.values()]
    return "\n".join(
        [
            "xfernas_jax: transfer neural architecture search.",
            "",
            *lines,
            "",
            f"`{program} VERB --help` lists the flags of a verb, `{program} --helpfull` all flags;",
            f"`{program} --version` tells the version.",
        ]
    )


def of_verb(program: str, verb: Verb) -> str:
    """Returns the flags of a verb."""
    head = " ".join(word for word in (program, verb.name, "[--FLAG=VALUE ...]", verb.takes) if word)
    return "\n".join([f"{head}: {verb.summary}", *_sections(groups_of(verb))])


def of_all(program: str) -> str:
    """Returns the flags of all verbs."""
    return "\n".join([overview(program), *_sections(GROUPS.items())])


def _sections(groups: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
    lines = []
    for title, names in groups:
        lines += ["", f"{title}:"]
        for name in names:
            lines += _flag_lines(flags.FLAGS[name])
    return lines


def _flag_lines(flag: Any) -> list[str]:
    """Returns name, default and text of a flag."""
    kind, values = flag.flag_type(), getattr(flag.parser, "enum_values", None)
    if kind == "bool":
        head = f"--[no]{flag.name}"
    else:
        head = f"--{flag.name}={'|'.join(values) if values else _KINDS[kind]}"
    default = _default(flag.default)
    text = _ADDED_BY_ABSL.sub("", flag.help)
    return [f"  {head}{default and f'  (default: {default})'}", *textwrap.wrap(text, **_INDENTED)]


def _default(value: Any) -> str:
    if value is None or value == []:
        return ""
    return str(value).lower() if isinstance(value, bool) else f"{value}"
