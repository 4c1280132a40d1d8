"""A small language of conditions on the columns of a table: ``age >= 62 and sex == 'F'``."""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.names import nearest
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError, listed
from clinicadl.layouts import tsv
from clinicadl.tables import sessions, sieve
from clinicadl.tables.sieve import Sieve

Kind = Literal["condition", "number", "text", "column"]
Flags = NDArray[np.bool_]
Values = NDArray[Any]

_MISSING = "missing"
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`([^`]*)`""")

_ORDER: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_EQUALITY: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_GRAMMAR = (
    "Compare columns with == != < <= > >= in, join conditions with and, or, not, calculate with "
    "+ - * /, ask missing(column), put texts in quotes and names with blanks in `backticks`"
)


class Expression(NamedTuple):
    """A condition that was parsed and makes sense, whatever the table."""

    text: str
    tree: ast.expr
    column_of: Mapping[str, str]
    """Name in the tree -> column, of the names in backticks."""

    def columns(self, *, asked: bool = True) -> list[str]:
        """Return the columns, in the order of the text; not ``asked`` leaves out missing(...)."""
        called = [node for node in ast.walk(self.tree) if isinstance(node, ast.Call)]
        skipped = {id(call.func) for call in called}
        if not asked:
            skipped |= {id(argument) for call in called for argument in call.args}
        names = [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Name) and id(node) not in skipped
        ]
        names.sort(key=lambda name: (name.lineno, name.col_offset))
        return list(dict.fromkeys(self.column_of.get(name.id, name.id) for name in names))


class Truth(NamedTuple):
    """Of each row whether a condition holds, or whether nobody can know."""

    holds: Flags
    unknown: Flags

    @property
    def fails(self) -> Flags:
        """Whether it is known not to hold."""
        return np.asarray(~(self.holds | self.unknown))


class _Rows(NamedTuple):
    """What a condition is about."""

    table: pd.DataFrame
    path: Path
    expression: Expression

    def column(self, node: ast.expr) -> str | None:
        if not isinstance(node, ast.Name):
            return None
        return self.expression.column_of.get(node.id, node.id)


def parse(text: str) -> Expression:
    """Return the condition that a text stands for.

    Nothing in it is ever run: it is read as Python writes expressions, and all but comparisons,
    ``and``, ``or``, ``not``, ``in``, ``+ - * /``, names, numbers, texts and ``missing(column)``
    is refused.

    Raises
    ------
    UsageError
        It is no such condition.
    """
    column_of: dict[str, str] = {}

    def named(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        placeholder = f"__column_{len(column_of)}__"
        column_of[placeholder] = match[1]
        return f" {placeholder} "

    plain = _QUOTED.sub(named, text).strip()
    try:
        with warnings.catch_warnings():
            # Python warns of '\d' or 1 == 1; here there is no second chance to look at it.
            warnings.simplefilter("error")
            tree = ast.parse(plain, mode="eval").body
        expression = Expression(text, tree, column_of)
        kind = _kind(tree, expression)
    except (SyntaxError, ValueError, Warning) as error:
        raise UsageError(
            "This is no expression", where="--where", found=text, fix=_GRAMMAR
        ) from error
    except (RecursionError, MemoryError) as error:
        raise UsageError(
            "An expression is nested too deeply", found=f"{text[:60]}...",
            fix="Write it in several, each after a --where of its own",
        ) from error  # fmt: skip
    if kind != "condition":
        _refuse(expression, f"This is a {kind}, not a condition")
    if not expression.columns():
        _refuse(expression, "This names no column")
    return expression


def check_columns(expression: Expression, columns: Iterable[object], *, where: object) -> None:
    """Refuse a condition on a column that is not there.

    Raises
    ------
    MissingInputError
        A column is not known; the nearest are named.
    """
    for column in expression.columns():
        refuse_unknown(column, columns, where=where, fix=" If a text is meant, put it in quotes")


def refuse_unknown(column: str, known: Iterable[object], *, where: object, fix: str = "") -> None:
    """Refuse a column that is none of those known.

    Raises
    ------
    MissingInputError
        It is not among them; the nearest are named.
    """
    if column not in known:
        raise MissingInputError(
            f"There is no column {column}", where=where,
            fix=f"The nearest is {' or '.join(nearest(column, known))}.{fix}",
        )  # fmt: skip


def judge(expression: Expression, table: pd.DataFrame, *, where: Path) -> Truth:
    """Return of each row whether the condition holds.

    A comparison with a missing value is unknown, as in SQL: ``and`` is unknown unless another
    condition fails, ``or`` unless another one holds.

    Parameters
    ----------
    expression
        What `parse` gave.
    table
        As `sessions.read` returns it; of a part of it, the index must tell the rows.
    where
        The file, for messages.

    Raises
    ------
    MissingInputError
        A column is not there.
    InvalidDataError
        A cell that is compared with a number is none, or a result is no finite number.
    """
    check_columns(expression, table.columns, where=where)
    return _truth(expression.tree, _Rows(table, where, expression))


def keep(one: Sieve, expressions: Iterable[Expression], *, where: Path) -> Sieve:
    """Return the rows of which all conditions hold; the others get their reasons.

    Raises
    ------
    MissingInputError
        A column is not there.
    InvalidDataError
        A cell that is compared with a number is none, or a result is no finite number.
    """
    for expression in expressions:
        truth = judge(expression, one.kept, where=where)
        why = np.where(truth.fails, f"does not hold: {' '.join(expression.text.split())}", "")
        why = why.astype(object)
        for column in expression.columns(asked=False):
            is_first = truth.unknown & (why == "") & one.kept[column].isna().to_numpy()
            why[is_first] = f"{column} is missing"
        for reason in dict.fromkeys(reason for reason in why if reason):
            stays = why != reason
            one, why = sieve.keep(one, stays, reason), why[stays]
    return one


def _refuse(expression: Expression, what: str, part: ast.expr | None = None) -> NoReturn:
    """Refuse an expression, for the sake of a part of it.

    Raises
    ------
    UsageError
        Always.
    """
    found = expression.text
    if part is not None:
        shown = ast.unparse(part)
        for placeholder, column in expression.column_of.items():
            shown = shown.replace(placeholder, f"`{column}`")
        found = found if shown == found else f"{shown} in {found}"
    raise UsageError(what, where="--where", found=found, fix=_GRAMMAR)


def _kind(node: ast.expr, expression: Expression) -> Kind:
    """Return what a part of an expression is.

    Raises
    ------
    UsageError
        It is nothing that the language knows.
    """

    def needs(part: ast.expr, *allowed: Kind) -> None:
        kind = _kind(part, expression)
        if kind not in allowed:
            _refuse(expression, f"A {kind} cannot stand here", part)

    match node:
        case ast.Name():
            return "column"
        case ast.Constant(value=str()):
            return "text"
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as value) if _is_finite(value):
            return "number"
        case ast.BoolOp(values=parts):
            for part in parts:
                needs(part, "condition")
            return "condition"
        case ast.UnaryOp(op=ast.Not(), operand=part):
            needs(part, "condition")
            return "condition"
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=part):
            needs(part, "number", "column")
            return "number"
        case ast.BinOp(op=sign) if type(sign) in _ARITHMETIC:
            needs(node.left, "number", "column")
            needs(node.right, "number", "column")
            return "number"
        case ast.Call(func=ast.Name(id="missing"), args=[ast.Name()], keywords=[]):
            return "condition"
        case ast.Compare(left=left, ops=ops, comparators=others):
            for one, op, other in zip([left, *others], ops, others, strict=False):
                _check_comparison(one, op, other, expression)
            return "condition"
    _refuse(expression, "This means nothing here", node)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _check_comparison(
    left: ast.expr, op: ast.cmpop, right: ast.expr, expression: Expression
) -> None:
    """Refuse two sides that cannot be compared.

    Raises
    ------
    UsageError
        They are of different kinds, or one is a condition.
    """
    if isinstance(op, ast.In | ast.NotIn):
        if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
            _refuse(expression, "Behind in there must be a list of values", right)
        others = list(right.elts)
        if any(_kind(one, expression) == "column" for one in others):
            _refuse(expression, "A list holds values, not columns", right)
    elif type(op) in _ORDER or type(op) in _EQUALITY:
        others = [right]
    else:
        _refuse(expression, "Compare with == or !=, not with is", left)
    kinds = {_kind(one, expression) for one in (left, *others)}
    if "condition" in kinds:
        _refuse(expression, "A condition cannot be compared", left)
    if {"number", "text"} <= kinds:
        _refuse(expression, "A number cannot be compared with a text", left)


def _truth(node: ast.expr, on: _Rows) -> Truth:
    match node:
        case ast.BoolOp(op=op, values=parts):
            truths = [_truth(part, on) for part in parts]
            every = np.logical_and.reduce
            some = np.logical_or.reduce
            unknown = some([one.unknown for one in truths])
            if isinstance(op, ast.And):
                return Truth(
                    every([one.holds for one in truths]),
                    unknown & ~some([one.fails for one in truths]),
                )
            holds = some([one.holds for one in truths])
            return Truth(holds, unknown & ~holds)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            truth = _truth(part, on)
            return Truth(truth.fails, truth.unknown)
        case ast.Call(args=[name]):
            return Truth(on.table[on.column(name)].isna().to_numpy(), _nowhere(on))
        case ast.Compare(left=left, ops=ops, comparators=others):
            pairs = zip([left, *others], ops, others, strict=False)
            truths = [_compared(one, op, other, on) for one, op, other in pairs]
            fails = np.logical_or.reduce([one.fails for one in truths])
            return Truth(
                np.logical_and.reduce([one.holds for one in truths]),
                np.logical_or.reduce([one.unknown for one in truths]) & ~fails,
            )
    raise AssertionError(ast.dump(node))


def _nowhere(on: _Rows) -> Flags:
    return np.zeros(len(on.table), dtype=bool)


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, on: _Rows) -> Truth:
    """Return the truth of one comparison; the right side may be a list."""
    listed_values = right.elts if isinstance(right, ast.List | ast.Tuple | ast.Set) else None
    sides = [left, *(listed_values or [right])]
    read = _texts if _are_texts(sides, op, on) else _numbers
    one = read(left, on)
    if listed_values is not None:
        # A list holds constants: one row tells all of them.
        first = on._replace(table=on.table.iloc[:1])
        values = [value for part in listed_values for value in read(part, first)]
        known, inside = ~pd.isna(one), pd.Series(one).isin(values).to_numpy()
        return Truth(known & (inside == isinstance(op, ast.In)), ~known)
    other = read(right, on)
    known = ~(pd.isna(one) | pd.isna(other))
    holds = _nowhere(on)
    holds[known] = {**_ORDER, **_EQUALITY}[type(op)](one[known], other[known])
    return Truth(holds, ~known)


def _are_texts(sides: Sequence[ast.expr], op: ast.cmpop, on: _Rows) -> bool:
    """Return whether sides are compared as texts; kinds were checked by `parse`."""
    if any(isinstance(side, ast.Constant) and isinstance(side.value, str) for side in sides):
        return True
    names = [on.column(side) for side in sides]
    if type(op) not in _EQUALITY or None in names:
        return False
    # Two columns are equal as numbers where both hold nothing else: 62 and 62.0 are one age.
    cells = {cell for name in names for cell in on.table[name].dropna().unique()}
    return any(pd.isna(pd.to_numeric(cell, errors="coerce")) for cell in cells)


def _texts(node: ast.expr, on: _Rows) -> Values:
    column = on.column(node)
    if column is None and isinstance(node, ast.Constant):
        return np.full(len(on.table), str(node.value).strip(), dtype=object)
    cells = [cell if pd.isna(cell) else str(cell).strip() for cell in on.table[column]]
    return np.array(cells, dtype=object)


def _numbers(node: ast.expr, on: _Rows) -> Values:
    column = on.column(node)
    if column is not None:
        return sessions.numbers(on.table, column, where=on.path).to_numpy()
    match node:
        case ast.Constant(value=int() | float() as value):
            return np.full(len(on.table), float(value))
        case ast.UnaryOp(op=op, operand=part):
            return -_numbers(part, on) if isinstance(op, ast.USub) else _numbers(part, on)
        case ast.BinOp(left=left, op=op, right=right):
            one, other = _numbers(left, on), _numbers(right, on)
            with np.errstate(all="ignore"):
                result = np.asarray(_ARITHMETIC[type(op)](one, other))
            _refuse_infinite(result, ~(np.isnan(one) | np.isnan(other)), node, on)
            return result
    raise AssertionError(ast.dump(node))


def _refuse_infinite(result: Values, known: Flags, node: ast.expr, on: _Rows) -> None:
    wrong = np.flatnonzero(known & ~np.isfinite(result))
    if len(wrong):
        rows = on.table.iloc[wrong]
        raise InvalidDataError(
            "A calculation has no finite result",
            where=tsv.place(on.path, [int(label) for label in rows.index]),
            found=f"{on.expression.text}, for {listed(map(' '.join, sessions.sessions_of(rows)))}",
            fix="Is something divided by zero? Leave these sessions out with another --where first",
        )  # fmt: skip
