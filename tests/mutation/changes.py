"""What can be changed in a module, one small thing at a time. Works on the syntax tree; imports nothing of msgsync.

Changed are: comparisons, at their boundary or turned around; arithmetic; ``and`` and ``or``; ``not``; conditions;
numbers, by one; strings and bytes, by one character; ``min`` and ``max``, ``any`` and ``all``, ``break`` and
``continue``; what a function returns, to nothing; and statements that are done for their effect, which are left out:
calls, ``raise``, ``del``, assignments to attributes and items.

Left alone is what no test should depend on: annotations, docstrings, decorators, imports, assertions (``strict`` of a
``zip`` is one), and the words of errors.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import chain

_COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.Pow: ast.Mult,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one module."""

    function: str
    """Qualified name of what it is in; empty at the level of the module."""
    line: int
    change: str
    """The line, and in brackets what becomes of what in it; distinct within the function."""
    owner: ast.AST = field(repr=False)
    name: str
    place: int | None
    """Where the changed node hangs: a field of its owner, and the place if that is a list."""
    replacement: ast.AST = field(repr=False)
    is_in_function: bool
    """Whether it runs when something is called; else when the module is imported."""

    def apply(self) -> None:
        """Change the tree that the mutant was found in."""
        if self.place is None:
            setattr(self.owner, self.name, self.replacement)
        else:
            getattr(self.owner, self.name)[self.place] = self.replacement


def mutants_of(source: str) -> tuple[ast.Module, list[Mutant]]:
    """Parse a module and find every change of it, in the order of its lines."""
    tree = ast.parse(source)
    counts: Counter[tuple[str, str]] = Counter()
    distinct = []
    for mutant in _found_in(tree, "", source.splitlines(), inside=False):
        key = mutant.function, mutant.change
        counts[key] += 1
        number = counts[key]
        distinct.append(
            mutant if number == 1 else replace(mutant, change=f"{mutant.change} #{number}")
        )
    return tree, distinct


def _found_in(owner: ast.AST, function: str, lines: list[str], *, inside: bool) -> Iterator[Mutant]:
    for name, place, node in _children(owner):
        if _is_left_alone(owner, name, node):
            continue
        within = inside or (name == "body" and isinstance(owner, _FUNCTIONS))
        for replacement in _replacements(owner, name, node, function):
            ast.copy_location(replacement, node)
            ast.fix_missing_locations(replacement)
            line = getattr(node, "lineno", getattr(owner, "lineno", 0))
            change = f"{lines[line - 1].strip()} [{_shown(node)} -> {_shown(replacement)}]"
            yield Mutant(function, line, change, owner, name, place, replacement, within)
        if isinstance(node, ast.Raise):
            continue  # its words are for people
        inner = function
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            inner = f"{function}.{node.name}".lstrip(".")
        yield from _found_in(node, inner, lines, inside=within)


def _children(owner: ast.AST) -> Iterator[tuple[str, int | None, ast.AST]]:
    for name, value in ast.iter_fields(owner):
        if isinstance(value, ast.AST):
            yield name, None, value
        elif isinstance(value, list):
            for place, node in enumerate(value):
                if isinstance(node, ast.AST):
                    yield name, place, node


def _is_left_alone(owner: ast.AST, name: str, node: ast.AST) -> bool:
    if name in ("annotation", "returns", "decorator_list", "bases", "format_spec", "slice_type"):
        return True
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Assert):
        return True
    if isinstance(owner, ast.JoinedStr):
        return isinstance(node, ast.Constant)
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    if isinstance(owner, ast.ClassDef):
        return name == "keywords"
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _replacements(owner: ast.AST, name: str, node: ast.AST, function: str) -> Iterator[ast.AST]:
    if isinstance(node, ast.stmt):
        return _of_statement(node, function)
    if isinstance(node, ast.expr):
        condition = name == "test" or (isinstance(owner, ast.comprehension) and name == "ifs")
        return chain(
            _of_condition(node) if condition else (), _of_expression(node, at_module=not function)
        )
    return iter(())


def _of_statement(node: ast.stmt, function: str) -> Iterator[ast.AST]:
    match node:
        case ast.Raise() | ast.Delete() | ast.Expr(value=ast.Call() | ast.Await()):
            yield ast.Pass()
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield ast.Return(value=ast.Constant(value=None))
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) if not function.endswith(
            "__init__"
        ):
            yield ast.Pass()
        case ast.AugAssign(op=op):
            if isinstance(node.target, ast.Attribute | ast.Subscript):
                yield ast.Pass()
            if type(op) in _ARITHMETIC:
                yield ast.AugAssign(node.target, _ARITHMETIC[type(op)](), node.value)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _of_condition(node: ast.expr) -> Iterator[ast.AST]:
    """Conditions are turned around, but for those that change anyway."""
    if not isinstance(node, ast.Compare | ast.BoolOp | ast.Constant) and not _is_not(node):
        yield ast.UnaryOp(ast.Not(), deepcopy(node))


def _is_not(node: ast.AST) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _of_expression(node: ast.expr, *, at_module: bool) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            for place, op in enumerate(ops):
                changed = [*ops[:place], _COMPARISONS[type(op)](), *ops[place + 1 :]]
                yield ast.Compare(left, changed, others)
        case ast.BoolOp(op=ast.And()):
            yield ast.BoolOp(ast.Or(), node.values)
        case ast.BoolOp():
            yield ast.BoolOp(ast.And(), node.values)
        case ast.BinOp(op=ast.BitOr()) if at_module:
            return  # a type
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
            yield ast.BinOp(node.left, _ARITHMETIC[type(op)](), node.right)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.Call(func=ast.Name(id=called)) if called in _NAMES:
            yield ast.Call(ast.Name(_NAMES[called], ast.Load()), node.args, node.keywords)
        case ast.Constant(value=value):
            yield from _of_constant(value)


def _of_constant(value: object) -> Iterator[ast.AST]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
    elif isinstance(value, str):
        yield ast.Constant(value + "X")
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"X")


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node).splitlines()[0]
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
