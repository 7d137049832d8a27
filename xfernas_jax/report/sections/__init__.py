"""The sections of a report: a file for each heading, and the list of them.

A section is a function `section(study) -> Section | None` from a `SearchStudy`; None leaves it out.
One of a user's own is `module:NAME`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from xfernas_jax.errors import ReportError
from xfernas_jax.registry import Registry
from xfernas_jax.report.section import Section
from xfernas_jax.report.sections import (
    answers,
    architectures,
    cost,
    evaluations,
    finalists,
    incumbent,
    learning,
    prediction,
    references,
    sources,
    trades,
)
from xfernas_jax.report.study import SearchStudy

MakeSection = Callable[[SearchStudy], Section | None]

SECTIONS: Mapping[str, MakeSection] = MappingProxyType(
    {
        "answers": answers.section,
        "confused": answers.confused_section,
        "references": references.section,
        "learning": learning.section,
        "incumbent": incumbent.section,
        "finalists": finalists.section,
        "architectures": architectures.section,
        "trades": trades.section,
        "prediction": prediction.section,
        "sources": sources.section,
        "cost": cost.section,
        "evaluations": evaluations.section,
    }
)
"""Sections by name, in the order of the page."""

_FINDER = Registry("section of the report", "--sections", SECTIONS, error=ReportError)


def find_sections(names: Sequence[str]) -> tuple[MakeSection, ...]:
    """Returns sections by name, each once and in this order; all of ours where none is named.

    Raises:
      ReportError: there is no such section.
    """
    return tuple(_FINDER.find(name) for name in dict.fromkeys(names or SECTIONS))


def make_sections(study: SearchStudy, makers: Sequence[MakeSection]) -> tuple[Section, ...]:
    """Returns the sections that have something to say.

    Raises:
      ReportError: a user's function gave something else, or what no file can be named after.
    """
    sections = [section for section in (make(study) for make in makers) if section is not None]
    names: list[str] = []
    for section in sections:
        if not isinstance(section, Section):
            raise ReportError(
                "A section (--sections) is an xfernas_jax.report.section.Section or None. "
                f"Got {section!r:.80}."
            )
        names += [picture.name for picture in section.pictures]
        names += [] if section.listing is None else [section.listing.name]
    for name in names:
        if names.count(name) > 1 or not re.fullmatch(r"[A-Za-z0-9_]+", name):
            raise ReportError(
                "The name of a picture or table (--sections) is of letters, digits and _, and no "
                f"other has it. Got {name!r:.80}."
            )
    return tuple(sections)
