"""Ubuntu's chat: a message, and the one that somebody else linked to it."""

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from benchmarks._tasks import retrieval
from benchmarks._texts import hashed
from benchmarks.learning._near import near_duplicates
from benchmarks.learning._split import Half, Split

# Candidates for each pair that is wanted: short messages often have a near-duplicate somewhere.
SPARE = 3
_ADDRESSED = re.compile(r"\s*([^\s:,]+)\s*[:,]\s*")
_Place = tuple[str, str]  # log, line


def irc_split(messages: Iterable[dict[str, Any]], links: Iterable[str], *, number: int = 1_000) -> Split:
    """Links with an even hash choose, the others report; a message is in one pair at most, on one side.

    Args:
        messages: rows with log, line, time, nick, text.
        links: lines `log<TAB>line<TAB>later line`, without the header.
        number: pairs a half.

    Returns:
        Task irc; the training rows have no message of a candidate, kept or removed.
    """
    rows = {(row["log"], str(row["line"])): row for row in messages}
    nicks = {row["nick"].lower() for row in rows.values()}
    said = {place: without_nick(row["text"], nicks) for place, row in rows.items()}
    speakers = {place: row["nick"].lower() for place, row in rows.items()}
    candidates: dict[Half, list[tuple[_Place, _Place]]] = {"choose": [], "report": []}
    taken: set[_Place] = set()
    for link in sorted(links, key=hashed):
        log, earlier, later = link.split("\t")  # the column reply_to holds the later line
        ends = (log, earlier), (log, later)
        half: Half = "report" if hashed(link) % 2 else "choose"
        if len(candidates[half]) == SPARE * number or taken & set(ends):
            continue
        if all(said.get(end) for end in ends) and speakers[ends[0]] != speakers[ends[1]]:
            candidates[half].append(ends)
            taken |= set(ends)
    training = [place for place in rows if place not in taken]
    kept, removed = {}, {}
    for half, pairs in candidates.items():
        opposite = candidates["choose" if half == "report" else "report"]
        other = [said[end] for pair in opposite for end in pair]
        fresh = _fresh(pairs, said, [*(said[place] for place in training), *other])
        kept[half] = [(said[first], said[second]) for first, second in fresh[:number]]
        removed[half] = len(pairs) - len(fresh)
    return Split(
        tasks={half: {"irc": retrieval("message -> the message linked to it", kept[half])} for half in kept},
        training=tuple(_training_row(rows[place]) for place in training),
        removed=removed,
    )


def without_nick(text: str, nicks: AbstractSet[str]) -> str:
    """What is said, without the nicks that it is addressed to.

    Examples:
        >>> without_nick("Ann, bob: try apt-get: it helps", {"ann", "bob"})
        'try apt-get: it helps'
    """
    while (match := _ADDRESSED.match(text)) and match[1].lower() in nicks:
        text = text[match.end() :]
    return text.strip()


def _fresh(
    pairs: Sequence[tuple[_Place, _Place]], said: dict[_Place, str], others: Sequence[str]
) -> list[tuple[_Place, _Place]]:
    """The pairs of which neither message has a near-duplicate among others."""
    near = near_duplicates([said[end] for pair in pairs for end in pair], others)
    return [pair for place, pair in enumerate(pairs) if not {2 * place, 2 * place + 1} & near]


def _training_row(row: dict[str, Any]) -> dict[str, str]:
    """As the command line reads it: a log is a group, and its name begins with the day."""
    return {
        "id": f"{row['log']} {row['line']}",
        "text": row["text"],
        "group": row["log"],
        "time": f"{row['log'][:10]} {row['time']}",
        "speaker": row["nick"],
    }
