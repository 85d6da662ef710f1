"""Which words no operation may delete, replace or misspell: numbers, addresses, code, negations.

A view that turns "not found" into "found", or one version number into another, is not a view of
the same meaning. Digits and Chinese negations are found by the character table; this file finds
what takes more than one character, and looks only into texts that can have it.
"""

import re
from collections.abc import Iterator
from typing import Final

_ADDRESS: Final = re.compile(r"(?:https?|ftp|file)://\S+|www\.\S+|[\w.+-]+@[\w-]+\.[\w.-]+")
_CODE: Final = re.compile(r"```.*?```|``[^`\n]+``|`[^`\n]+`", re.DOTALL)
_CONTRACTION: Final = re.compile(r"\b\w+n['’]t\b")

NEGATIONS: Final = frozenset(
    (
        *("no", "not", "none", "never", "nor", "neither", "nothing", "nobody", "nowhere"),
        *("without", "cannot", "except", "unless", "hardly", "barely"),
    )
)
"""English words that turn a meaning round (compared in lower case)."""


def protected_spans(text: str) -> Iterator[tuple[int, int]]:
    """Character spans (start, end) of addresses, code and contracted negations.

    Example:
        >>> list(protected_spans("see `ls -l` or mail a@b.org, don't wait"))
        [(20, 27), (4, 11), (29, 34)]
    """
    if "://" in text or "@" in text or "www." in text:
        yield from (match.span() for match in _ADDRESS.finditer(text))
    if "`" in text:
        yield from (match.span() for match in _CODE.finditer(text))
    if "n't" in text or "n’t" in text:
        yield from (match.span() for match in _CONTRACTION.finditer(text))
