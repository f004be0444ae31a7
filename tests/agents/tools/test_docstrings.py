"""What docstrings say of parameters."""

from __future__ import annotations

import pytest

from tta_llm.agents.docstrings import Described, described

GOOGLE = """Find it.

    More of it.

    Args:
        text (str): What to find: all
            of it.
        limit: How many.

    Raises:
        ValueError: Never.
"""
NUMPY = """Find it.

    More of it.

    Parameters
    ----------
    text : str
        What to find: all
        of it.
    limit : int, optional
        How many.

    Returns
    -------
    str
        All.
"""
REST = """Find it.

    More of it.

    :param str text: What to find: all
        of it.
    :param limit: How many.
    :returns: All.
    :raises ValueError: Never.
"""


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, REST, GOOGLE.replace("\n", "\r\n")])
def test_the_three_styles_say_the_same(docstring: str) -> None:
    assert described(docstring) == Described(
        "Find it.\n\nMore of it.",
        {"text": "What to find: all of it.", "limit": "How many."},
    )


def test_a_missing_docstring_says_nothing() -> None:
    assert described(None) == Described("", {})
