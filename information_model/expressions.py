"""Numbers of the tables that depend on the site: `1.05*rack.max_charge_current_a`.

Allowed are numbers, `+ - * /`, parentheses and dotted configuration names; anything else is refused. Nothing is
executed.
"""

import ast
import operator
from collections.abc import Callable, Mapping

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class ExpressionError(ValueError):
    """The expression cannot be read, or names something that the configuration does not have."""


def evaluate(expression: str, names: Mapping[str, float]) -> float:
    """Value of `expression`; `names` maps dotted names ("rack.max_voltage_v") to numbers."""
    try:
        return _value(ast.parse(expression, mode="eval").body, names)
    except (SyntaxError, ZeroDivisionError) as error:
        raise ExpressionError(f"{expression!r}: {error}") from None
    except ExpressionError as error:
        raise ExpressionError(f"{expression!r}: {error}") from None


def _value(node: ast.expr, names: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return float(number)
        case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, names), _value(right, names))
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand, names)
        case ast.Attribute(value=ast.Name(id=scope), attr=attribute):
            name = f"{scope}.{attribute}"
            if name not in names:
                raise ExpressionError(f"{name} is not a configuration name; known: {', '.join(sorted(names))}")
            return names[name]
        case _:
            raise ExpressionError("only numbers, names, + - * / and parentheses are allowed")
