# SPDX-License-Identifier: MIT
"""bench/table.py - medians, spreads and tables out of results."""


def spread(values):
    """{"median", "min", "max", "n"} of the values that there are; None of none."""
    values = sorted(value for value in values if value is not None)
    if not values:
        return None
    middle = len(values) // 2
    median = values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
    return {"median": median, "min": values[0], "max": values[-1], "n": len(values)}


def show(summary, scale, digits):
    """'12.3 (11.9-14.0)'; '-' where there is nothing."""
    if summary is None:
        return "-"
    if summary["n"] == 1:
        return f"{summary['median'] / scale:.{digits}f}"
    return (f"{summary['median'] / scale:.{digits}f} "
            f"({summary['min'] / scale:.{digits}f}-{summary['max'] / scale:.{digits}f})")


def render(rows):
    """Lines of a Markdown table; the first row is its head, the first column is text."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row):
        cells = [cell.ljust(width) if column == 0 else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(row, widths))]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("-" * (width + 1) + ("-" if column == 0 else ":")
                          for column, width in enumerate(widths)) + "|"
    return [line(rows[0]), rule, *(line(row) for row in rows[1:])]
