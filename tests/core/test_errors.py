"""The family of errors."""

from foodex.core import errors
from foodex.core.errors import Conflict, FieldProblem, FoodexError, InvalidInput, family
from foodex.core.problems import problem_document


def test_every_type_is_one_error() -> None:
    declared = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    declared = {kind for kind in declared if issubclass(kind, FoodexError)}
    assert len({kind.type for kind in declared}) == len(declared)
    assert {family()[kind.type] for kind in declared} == declared
    assert all(400 <= kind.status < 600 for kind in declared)


def test_the_docstring_is_the_message() -> None:
    assert str(Conflict()) == "That does not fit with what is already there."


def test_problems_are_said_with_field_and_row() -> None:
    error = InvalidInput("No", problems=[FieldProblem("items", "is -1", 4)], limit=3)
    assert str(error) == "No\n  row 4, items: is -1"
    document = problem_document(error)
    assert document["limit"] == 3
    assert document["status"] == 422


def test_extra_facts_never_hide_the_fixed_members() -> None:
    assert problem_document(InvalidInput("No", status=1, type="x"))["status"] == 422
