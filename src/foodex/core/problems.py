"""Errors as problem documents (RFC 9457), without any web around them."""

from typing import Any

from foodex.core.context import request_id
from foodex.core.errors import FoodexError


def problem_document(error: FoodexError) -> dict[str, Any]:
    """An error as the members of a problem document; extra facts stand beside the fixed ones."""
    document: dict[str, Any] = {
        **error.extra,
        "type": f"urn:foodex:problem:{error.type}",
        "title": error.title,
        "status": error.status,
        "detail": error.message,
        "request_id": request_id(),
    }
    if error.problems:
        document["problems"] = [
            {"field": p.field, "row": p.row, "message": p.message} for p in error.problems
        ]
    return document
