"""What a reader yields: a text with where it came from, or the reason why there is none.

Nothing disappears on the way in: whatever cannot be used becomes a `Skipped` with a reason that is
counted, so that the manifest adds up.
"""

from dataclasses import dataclass

import xxhash

__all__ = ["Document", "Skipped", "content_hash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One unlabelled text and where it came from.

    Args:
        id: name of the text, unique within its source.
        text: the text itself.
        title: heading, subject or first line; empty where the source has none.
        language: code such as "en" or "zh", or "" where it is not clear.
        source: file (relative to the input that was given) or package it came from.
        group: texts that belong together (a conversation, a session) share it; "" for none.
        time: when it was written, as the source says it; "" where unknown.
        speaker: who said it, in a conversation; "" where unknown.
        reply_to: id of the text that this one answers; "" where it answers none.
        passage: "1", "2" and so on where a long text was cut; "" for a whole text.

    Examples:
        >>> Document(id="a:1", text="Water boils at 100 degrees.").title
        ''
    """

    id: str
    text: str
    title: str = ""
    language: str = ""
    source: str = ""
    group: str = ""
    time: str = ""
    speaker: str = ""
    reply_to: str = ""
    passage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """One thing that was not a usable text: why, and where, never what it said.

    Args:
        reason: short phrase; the manifest counts by it, such as "invalid UTF-8".
        location: file and line, or file and row.
        fields: the field names of a row that lacks the text field, at most 20.
    """

    reason: str
    location: str
    fields: tuple[str, ...] = ()


def content_hash(text: str) -> bytes:
    """128-bit hash of a text, 16 bytes, big endian; equal texts are exact duplicates.

    Examples:
        >>> content_hash("a") == content_hash("a"), len(content_hash("a"))
        (True, 16)

    Source: xxHash, XXH3 128-bit variant; two of 10^9 different texts collide with probability 1e-21.
    """
    return xxhash.xxh3_128_digest(text.encode("utf-8"))
