"""Pairs of texts that their writers put together: titles, headings, questions, turns and replies.

Two crops of a text have its topic in common; what stands in a title, a question or a message that is
answered is put in other words than what follows it. No label is needed: the structure says it.

| kind | first | second |
|---|---|---|
| title | the title of a document, or the headings above a section | its text, or first passage |
| heading | a heading inside a text | what stands under it |
| question | a question marked as such ("Q:", "问：") | its answer |
| reply | a text of the group | the one that answers it: by `reply_to`, or by a name before it |
| turn | what one speaker said last | what the next one says, in a group of two |
| continuation | what a speaker said | what the same one says within five messages |
"""

import re
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from llmagentos.corpus._document import Document, Skipped
from llmagentos.corpus._markup import sections

__all__ = ["PAIR_KINDS", "PairKind", "TextPair", "structural_pairs"]

PairKind = Literal["title", "heading", "question", "reply", "turn", "continuation"]
PAIR_KINDS: tuple[PairKind, ...] = get_args(PairKind)

# In a channel of many speakers an answer comes within so many messages or not at all: of the 52,641
# reply links of an Ubuntu channel 99.1% are no longer.
_RECENT_TEXTS = 100
# A choice. On Ubuntu's channel (one seed; 150 steps of 1,024 replies beside 200 of replies and continuations)
# MRR@10 of linked messages was 16.8 both times, 10-NN of Banking77 76.8 and 78.3 (benchmarks/LOG.md).
_CONTINUED_WITHIN = 5
# Conversations that are followed at once where they are interleaved.
_OPEN_GROUPS = 1_000
_ADDRESSED = re.compile(r"@?([^\s:,>]{2,30})\s?[:,>]\s+")
_QUESTION = re.compile(r"^(?:Q|Question|问|問|问题|問題)\s?[:：.]\s*", re.IGNORECASE | re.MULTILINE)
_ANSWER = re.compile(r"^(?:A|Answer|答|回答)\s?[:：.]\s*", re.IGNORECASE | re.MULTILINE)
_HEADING = re.compile(r"^(?:#{1,6}[ \t]|={3,}[ \t]*$|-{3,}[ \t]*$)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPair:
    """Two texts that belong together.

    Args:
        kind: how they were found.
        first: the shorter or earlier one.
        second: what it is the title, question or cause of.
        text: the whole text that `second` is from: its other views are no negatives of the pair.
        group: of the document, "" for none.
    """

    kind: PairKind
    first: str
    second: str
    text: str
    group: str = ""


def structural_pairs(documents: Iterable[Document]) -> Iterator[TextPair]:
    """The pairs in a stream of documents.

    Args:
        documents: clean, in the order in which they were written within a group; groups may be
            interleaved.

    Yields:
        Pairs of different texts without white space around them, in the order of their second texts.

    Example:
        >>> talk = [("ann", "Does the new kernel boot?"), ("bob", "ann: only with the old driver")]
        >>> documents = [
        ...     Document(id=str(number), text=text, group="log", speaker=speaker)
        ...     for number, (speaker, text) in enumerate(talk)
        ... ]
        >>> [(pair.kind, pair.first, pair.second) for pair in structural_pairs(documents)]
        [('reply', 'Does the new kernel boot?', 'only with the old driver')]
    """
    conversations: OrderedDict[str, _Conversation] = OrderedDict()
    for document in documents:
        found = [*_titles(document), *_headings(document), *_questions(document)]
        if document.group and not document.passage:  # passages of one text are no conversation
            conversation = conversations.pop(document.group, None) or _Conversation()
            conversations[document.group] = conversation
            if len(conversations) > _OPEN_GROUPS:
                conversations.popitem(last=False)
            found += conversation.hear(document)
        for kind, first, second in found:
            first, second = first.strip(), second.strip()
            if first and second and first != second:
                yield TextPair(
                    kind=kind, first=first, second=second, text=document.text, group=document.group
                )


def _titles(document: Document) -> Iterator[tuple[PairKind, str, str]]:
    if document.title and document.passage in ("", "1"):  # what a title says stands at the beginning
        yield "title", document.title, document.text


def _headings(document: Document) -> Iterator[tuple[PairKind, str, str]]:
    """Headings of Markdown inside a text; a file of Markdown was cut at them when it was read."""
    if not _HEADING.search(document.text):
        return
    lines = ((number, line.encode()) for number, line in enumerate(document.text.split("\n"), start=1))
    for section in sections(lines, rst=False):
        if not isinstance(section, Skipped) and section.title:
            yield "heading", section.title, section.text


def _questions(document: Document) -> Iterator[tuple[PairKind, str, str]]:
    for part in _QUESTION.split(document.text)[1:]:
        question, *answers = _ANSWER.split(part)
        if answers:
            yield "question", question, answers[0]


@dataclass(slots=True)
class _Conversation:
    """The last texts of a group, and who said what last."""

    recent: deque[tuple[Document, str]] = field(default_factory=lambda: deque(maxlen=_RECENT_TEXTS))

    def hear(self, document: Document) -> Iterator[tuple[PairKind, str, str]]:
        """The pairs that end in this text, which is then one of the recent ones."""
        speakers = {heard.speaker.casefold() for heard, _ in self.recent if heard.speaker}
        said, named = document.text, ""
        match = _ADDRESSED.match(said)
        if match and match[1].casefold() in speakers:
            named, said = match[1].casefold(), said[match.end() :]
        yield from self._continued(document, said)
        answered = self._answered(document, named)
        if answered is not None:
            yield "reply", answered, said
        elif self.recent and len(speakers | {document.speaker.casefold()}) <= 2:
            last, last_said = self.recent[-1]
            if last.speaker != document.speaker or not document.speaker:
                yield "turn", last_said, said
        self.recent.append((document, said))

    def _continued(self, document: Document, said: str) -> Iterator[tuple[PairKind, str, str]]:
        for heard, earlier in list(self.recent)[: -_CONTINUED_WITHIN - 1 : -1]:
            if document.speaker and heard.speaker == document.speaker:
                yield "continuation", earlier, said
                return

    def _answered(self, document: Document, named: str) -> str | None:
        """What a text answers: the one that it names by its id, or the last one of whom it names."""
        for heard, said in reversed(self.recent):
            if document.reply_to:
                if heard.id == document.reply_to:
                    return said
            elif named and heard.speaker.casefold() == named and heard.speaker != document.speaker:
                return said
        return None
