"""Checks that a match fits the widths of the two models."""

from xtremedistil.terms.match import AUTO, NO_PROJECTION, Match


def width_problem(match: Match, teacher: int, student: int) -> str | None:
    """Returns the problem of a match of tensors of these widths (the student's before any projection), or None."""
    unequal = match.projection == NO_PROJECTION and match.needs_equal_widths and teacher != student
    if unequal:
        return (
            f"{match.name}: without a projection {match.loss} takes equal widths; those of teacher and student are "
            f"{teacher} and {student}"
        )
    heads = match.options.get("relation_heads", 1)
    compared = student if match.projection in (AUTO, NO_PROJECTION) else teacher
    if not divides(heads, teacher, compared):
        return (
            f"{match.name}: give relation_heads that divide the widths of teacher ({teacher}) and student "
            f"({student}), not {heads}"
        )
    return None


def divides(heads, *widths: int) -> bool:
    """Whether the number of relation heads divides all widths."""
    return isinstance(heads, int) and heads >= 1 and all(width % heads == 0 for width in widths)
