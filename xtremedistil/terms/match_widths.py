"""Whether a match can be computed at the widths that the two models have."""

from xtremedistil.terms.match import AUTO, NO_PROJECTION, Match


def width_problem(match: Match, teacher: int, student: int) -> str | None:
    """What is wrong with a match of tensors of these widths, the student's as its model has it; None if nothing is."""
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
    """Whether that many relation heads go into all widths."""
    return isinstance(heads, int) and heads >= 1 and all(width % heads == 0 for width in widths)
