"""Checks the shapes and dtypes in the annotations of the package, in tests only.

pytest loads it through jaxtyping's `--jaxtyping-packages` (pyproject.toml): every function of the stages
named there whose annotation names an array, such as `Float[Tensor, "N D"]`, is checked at each call, with
one meaning of N and D within the call. Other types are mypy's business, and the loss checks its shapes
itself, for everyone.
"""

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from jaxtyping import AbstractArray, AnnotationError

P = ParamSpec("P")
R = TypeVar("R")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, with a TypeError where an array is not what the annotation says."""
    signature = inspect.signature(function)
    hints = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    arrays = {name: hint for name, hint in hints.items() if _is_array(hint)}
    result = signature.return_annotation if _is_array(signature.return_annotation) else None
    if not arrays and result is None:
        return function

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs).arguments
        for name, hint in arrays.items():
            if name in given:
                _check(given[name], hint)
        value = function(*args, **kwargs)
        if result is not None:
            _check(value, result)
        return value

    return wrapper


def _is_array(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, AbstractArray)


def _check(value: object, hint: type) -> None:
    try:
        right = isinstance(value, hint)
    except AnnotationError:  # an axis such as N+1 where no argument before it has the axis N
        return
    if not right:
        raise TypeError  # jaxtyping says which function, which argument, and what was given
