"""Filters mean the same as objects and as text, and say what is wrong with them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tta_llm.rag.documents import Metadata
from tta_llm.rag.stores.filter_parser import parse_filter
from tta_llm.rag.stores.filters import AllOf, AnyOf, Comparison, Filter, Membership, field

NAMES = st.text(min_size=1, max_size=6) | st.sampled_from(["year", "a.b-c", "and", "`", "In"])
VALUES = (
    st.text(max_size=6)
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)
ORDERED = VALUES.filter(lambda value: not isinstance(value, bool))
LEAVES: st.SearchStrategy[Filter] = (
    st.builds(Comparison, NAMES, st.sampled_from(["==", "!="]), VALUES)
    | st.builds(Comparison, NAMES, st.sampled_from(["<", "<=", ">", ">="]), ORDERED)
    | st.builds(Membership, NAMES, st.lists(VALUES, max_size=3).map(tuple), st.booleans())
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda kind, parts: kind(tuple(parts)),
        st.sampled_from([AllOf, AnyOf]),
        st.lists(inner, min_size=2, max_size=3),
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(FILTERS)
def test_its_text_is_read_as_the_same_filter(where: Filter) -> None:
    again = parse_filter(str(where))
    assert again == where and hash(again) == hash(where)
    assert repr(again) == repr(where)


@settings(deadline=None)
@given(FILTERS, FILTERS, st.dictionaries(NAMES, VALUES))
def test_and_and_or_mean_both_and_either(one: Filter, two: Filter, metadata: Metadata) -> None:
    both, either = one.matches(metadata), two.matches(metadata)
    assert (one & two).matches(metadata) is (both and either)
    assert (one | two).matches(metadata) is (both or either)


@pytest.mark.parametrize(
    ("text", "metadata", "expected"),
    [
        ("n == 1", {"n": 1}, True),
        ("n == 1", {"n": 1.0}, True),
        ("n == 1", {"n": True}, False),
        ("n == 1", {"n": "1"}, False),
        ("n != 1", {"n": True}, True),
        ("n == 9007199254740993", {"n": 9007199254740992}, False),
        ("n == true", {"n": True}, True),
        ("n == true", {"n": 1}, False),
        ("n < 2", {"n": "1"}, False),
        ("n >= 2", {}, False),
        ("n != 2", {}, True),
        ("n in (1, 'a')", {"n": True}, False),
        ("n in (1, 'a')", {"n": "a"}, True),
        ("n in ()", {"n": 1}, False),
        ("n not in (1)", {}, True),
        ("n not in (1)", {"n": 1.0}, False),
        ("n not in ()", {"n": 1}, True),
        ("day >= '2024-02-01'", {"day": "2024-10-01"}, True),
        ("a == 1 or b == 1 and c == 1", {"a": 1}, True),
        ("(a == 1 or b == 1) and c == 1", {"a": 1}, False),
    ],
)
def test_a_filter_means(text: str, metadata: Metadata, expected: bool) -> None:
    assert parse_filter(text).matches(metadata) is expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "character 1: expected a condition, such as year >= 2020, found the end"),
        ("a", "character 2: expected ==, !=, <, <=, >, >=, 'in' or 'not in', found the end"),
        ("a = 1", "character 3: expected == or !=, found '='"),
        ("a == b", 'character 6: expected a value: "a text", a number, true or false'),
        ("a == 'x", "character 6: expected a closing '"),
        ("a in 1", "character 6: expected '\\(' and a list"),
        ("a in (1 2)", "character 9: expected ',' or '\\)', found '2'"),
        ("a not 3", "character 7: expected 'in' after 'not'"),
        ("(a == 1", "character 8: expected 'and', 'or' or '\\)', found the end"),
        ("a == 1 b", "character 8: expected 'and', 'or' or the end, found 'b'"),
        ("and == 1", "character 1: expected a condition"),
        ("a < true", "character 1: true and false have no order"),
        ("a == 1e999", "character 1: a field can't be compared with inf"),
        ("a == " + "9" * 5_000, "character 6: "),
        ("(" * 40 + "a == 1" + ")" * 40, "no more than 32 brackets"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_filter(text)


def test_a_long_text_is_refused() -> None:
    with pytest.raises(ValueError, match="100,000 characters, not 100,001"):
        parse_filter("a" * 100_001)


@pytest.mark.parametrize(
    ("text", "value"),
    [(r"'it\'s'", "it's"), (r'"\\\n\t\u00e9"', "\\\n\té"), ("'\"'", '"')],
)
def test_escapes_stand_for_characters(text: str, value: str) -> None:
    assert parse_filter(f"a == {text}") == (field("a") == value)


def test_a_fields_comparisons_make_filters() -> None:
    one = (field("a") < 1) | (field("a") <= 1) | (field("a") > 1) | (field("a") >= 1)
    two = (field("b") != "x") & field("b").is_in("y") & field("b").is_not_in("z")
    assert str(one) == "a < 1 or a <= 1 or a > 1 or a >= 1"
    assert str(two) == 'b != "x" and b in ("y") and b not in ("z")'


def test_filters_of_values_that_python_holds_equal_differ() -> None:
    assert (field("a") == 1) != (field("a") == True)  # noqa: E712
    assert (field("a") == 1) != "a == 1"


def test_and_in_place_of_an_operator_is_refused() -> None:
    with pytest.raises(TypeError, match=r"join filters by & and \|"):
        (field("a") == 1) and (field("b") == 1)


def test_what_is_no_filter_can_not_be_made() -> None:
    with pytest.raises(TypeError, match="no value of a field"):
        field("a").is_in(["x"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="is no filter"):
        (field("a") == 1) & True  # type: ignore[operator]
    with pytest.raises(ValueError, match="a field has a name"):
        field("") == 1  # noqa: B015
    with pytest.raises(ValueError, match="'~' compares nothing"):
        Comparison("a", "~", 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="joins two filters or more, not 1"):
        AllOf((field("a") == 1,))
    with pytest.raises(ValueError, match="more than 300 digits"):
        field("a") == 10**400  # noqa: B015


def test_a_deep_filter_is_refused() -> None:
    where = field("a") == 1
    for _ in range(16):
        where = (where & (field("b") == 1)) | (field("c") == 1)
    with pytest.raises(ValueError, match="may be 32 deep, not 33"):
        where & where
