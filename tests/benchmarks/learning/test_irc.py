"""IRC's halves: no self-links, no monologues, a message once, no near-duplicate across."""

from typing import Any

import pytest

from benchmarks._provenance import DATA
from benchmarks._texts import hashed
from benchmarks.learning._irc import irc_split, without_nick
from benchmarks.learning._split import Half
from benchmarks.learning._suite import irc
from llmagentos.evaluation import RetrievalTask


def message(line: int, nick: str, text: str = "") -> dict[str, Any]:
    text = text or f"a{line} b{line} c{line}"
    return {"log": "2010-01-01.x", "line": line, "time": "10:00", "nick": nick, "text": text}


MESSAGES = [message(line, "Ann" if line % 2 else "bob") for line in range(400)]
LINKS = [f"2010-01-01.x\t{line}\t{line + 1}" for line in range(0, 300, 2)]


def texts(task: object) -> list[str]:
    assert isinstance(task, RetrievalTask)
    return [*task.queries, *task.documents]


def test_a_message_is_in_one_pair_of_one_half() -> None:
    chained = [*LINKS, *(f"2010-01-01.x\t{line + 1}\t{line + 2}" for line in range(0, 300, 2))]
    split = irc_split(MESSAGES, chained, number=15)
    chosen, reported = (texts(split.tasks["choose"]["irc"]), texts(split.tasks["report"]["irc"]))
    learned = [row["text"] for row in split.training]
    assert len(chosen) == len(reported) == 30
    assert len({*chosen, *reported, *learned}) == 60 + len(learned)
    assert split.training[0] == {
        "id": "2010-01-01.x " + split.training[0]["id"].split()[1],
        "text": split.training[0]["text"],
        "group": "2010-01-01.x",
        "time": "2010-01-01 10:00",
        "speaker": split.training[0]["speaker"],
    }


def test_the_half_is_the_hash_of_the_link() -> None:
    split = irc_split(MESSAGES, LINKS, number=1_000)
    firsts = {
        f"a{line} b{line} c{line}": hashed(link) % 2
        for link, line in zip(LINKS, range(0, 300, 2), strict=True)
    }
    parities: dict[Half, int] = {"choose": 0, "report": 1}
    for half, parity in parities.items():
        task = split.tasks[half]["irc"]
        assert isinstance(task, RetrievalTask)
        assert {firsts[query] for query in task.queries} == {parity}


def test_self_links_and_monologues_are_dropped() -> None:
    links = ["2010-01-01.x\t1\t1", "2010-01-01.x\t1\t3", "2010-01-01.x\t4\t6", "2010-01-01.x\t8\t9"]
    split = irc_split(MESSAGES, links)
    assert sum(len(texts(part["irc"])) for part in split.tasks.values()) == 2
    assert len(split.training) == 398


def test_the_earlier_message_asks_and_nicks_are_stripped() -> None:
    messages = [message(8, "bob", "who knows?"), message(9, "Ann", "BOB: I do, bob")]
    split = irc_split(messages, ["2010-01-01.x\t8\t9"])
    task = next(part["irc"] for part in split.tasks.values() if texts(part["irc"]))
    assert isinstance(task, RetrievalTask)
    assert (task.queries, task.documents) == (("who knows?",), ("I do, bob",))
    assert without_nick("note: this", {"bob"}) == "note: this"


def test_near_duplicates_are_removed_with_their_pair() -> None:
    messages = [*MESSAGES[:399], message(399, "Ann", "A0, b0 c0!")]  # of the message on line 0
    clean, split = irc_split(MESSAGES, LINKS), irc_split(messages, LINKS)
    assert sum(clean.removed.values()) == 0 and sum(split.removed.values()) == 1
    left = [text for part in split.tasks.values() for text in texts(part["irc"])]
    assert "a0 b0 c0" not in left and "a1 b1 c1" not in left
    assert "a0 b0 c0" not in {row["text"] for row in split.training}


@pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not on this machine")
def test_the_real_halves() -> None:
    split = irc()
    assert {half: len(texts(part["irc"])) for half, part in split.tasks.items()} == {
        "choose": 2_000,
        "report": 2_000,
    }
    assert len(split.training) == 196_146 - 2 * 2 * 3_000
    assert split.removed == {"choose": 1244, "report": 1237}
