"""From a document as it was read to the clean passages that a corpus keeps, with a reason for the rest."""

from dataclasses import replace

from llmagentos.corpus._cleaning import clean_text, clean_title, has_at_least, passages, replace_surrogates
from llmagentos.corpus._config import CorpusConfig
from llmagentos.corpus._document import Document, Skipped, content_hash

__all__ = ["clean_document", "cut_document"]


def clean_document(document: Document) -> tuple[Document, bool]:
    r"""A document whose text and title are clean, and which can be written as UTF-8.

    Args:
        document: as it was read.

    Returns:
        The clean document, and whether something in its text or title was no character and was
        replaced by U+FFFD.

    Examples:
        >>> document, repaired = clean_document(Document(id="a:1", text=" two \t words ", title="\ud800"))
        >>> document.text, document.title, repaired
        ('two words', '\ufffd', True)
    """
    text, text_repaired = clean_text(document.text)
    title, title_repaired = clean_title(document.title)
    names = ("id", "source", "group", "time", "speaker", "reply_to")
    written = {name: replace_surrogates(getattr(document, name))[0] for name in names}
    cleaned = replace(document, text=text, title=title, **written)
    return cleaned, text_repaired or title_repaired


def cut_document(document: Document, config: CorpusConfig) -> list[Document | Skipped]:
    """The passages of a clean document, or the reason where one of them is not kept.

    Passages of one text are no negatives of each other, as texts of one group are none. So where the
    text has no group they share one that no other text has: ids may repeat, hashes do not.

    Args:
        document: clean; a text within `max_characters` stays as it is.
        config: how long a text may be, and how short.

    Returns:
        At least one; passages of a text that was cut have the ids "ID#1", "ID#2" and so on.

    Examples:
        >>> document = Document(id="a", text="word " * 40 + "end")
        >>> parts = cut_document(document, CorpusConfig(max_characters=110))
        >>> [part.id for part in parts], len({part.group for part in parts})
        (['a#1', 'a#2'], 1)
        >>> cut_document(Document(id="b", text="short"), CorpusConfig())
        [Skipped(reason='shorter than 20 characters', location='b', fields=())]
    """
    if not document.text:
        return [Skipped(reason="empty text", location=document.id)]
    texts = passages(document.text, config.max_characters)
    parts = [document]
    if len(texts) > 1:
        group = document.group or content_hash(document.text).hex()
        parts = [
            replace(document, id=f"{document.id}#{number}", text=text, group=group, passage=str(number))
            for number, text in enumerate(texts, start=1)
        ]
    return [
        part
        if has_at_least(part.text, config.min_characters)
        else Skipped(reason=f"shorter than {config.min_characters} characters", location=part.id)
        for part in parts
    ]
