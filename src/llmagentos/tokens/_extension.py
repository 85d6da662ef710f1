"""A pretrained tokenizer that also knows the words of a corpus: a longer vocabulary.

WordPiece looks the words that its own rules cut a text into up in its vocabulary, longest beginning first.
So new entries at its end are enough, and every text without any of them has the tokens that it had. BERT's
rules make each Chinese character a word: of a Chinese corpus the characters are added. Then traditional
characters (thirteen of them in simplified text too, such as 覆 and 馀) and full-width forms,
alone of all that was known, are read as by the tokenizers made here; and so is 想像, as 想象.
"""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from tokenizers import Tokenizer, normalizers

from llmagentos.corpus import Document
from llmagentos.errors import InputError, ModelError
from llmagentos.tokens._config import TokensConfig
from llmagentos.tokens._simplified import in_one_spelling, is_chinese
from llmagentos.tokens._tokenizer import counted_words, sampled_texts, tokenizer_of, word_cutter

# A word that stands once in the sample has no second text to be learned from.
_FEWEST: Final = 2


def extend_tokenizer(tokenizer: Tokenizer, documents: Iterable[Document], config: TokensConfig) -> Tokenizer:
    """The pretrained tokenizer with the entries that it lacks of one that is trained on the documents.

    A word that it had no pieces for gets the trained tokenizer's pieces, a word that it cut into several
    pieces is added if it is whole there.

    Args:
        tokenizer: WordPiece; stays as it is.
        documents: training documents, never held-out ones; read once, only a sample is kept.
        config: of the tokenizer that is trained.

    Returns:
        A new tokenizer; the ids of the old one keep their meaning, new ones follow them. Where the documents
        are Chinese (see `is_chinese`) it reads traditional characters and full-width forms as the usual ones.

    Raises:
        ModelError: the tokenizer is not WordPiece.
        InputError: there is no text, or every word of it is known already.
        ConfigError: see `train_tokenizer`.

    Example:
        >>> from tokenizers import models, pre_tokenizers
        >>> pieces = {"[UNK]": 0, "learn": 1, "##ing": 2, "##s": 3}
        >>> tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
        >>> tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        >>> documents = [Document(id="0", text="learning by deep learning"), Document(id="1", text="deep")]
        >>> extended = extend_tokenizer(tokenizer, documents, TokensConfig(vocabulary_size=300))
        >>> tokenizer.encode("learning deep").tokens, extended.encode("deep").tokens
        (['learn', '##ing', '[UNK]'], ['deep'])
    """
    check_extendable(tokenizer)
    texts = sampled_texts(documents)
    chinese = is_chinese(texts)
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    if chinese:
        own = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([in_one_spelling(), *own])
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    model = content["model"]
    known = tokenizer.get_vocab()
    counts = _entries(
        counted_words(texts, tokenizer),
        tokenizer,
        tokenizer_of(counted_words(texts, word_cutter(chinese=chinese)), config),
        inside=model["continuing_subword_prefix"],
        unknown=model["unk_token"],
    )
    new = [entry for entry, count in counts.items() if count >= _FEWEST and entry not in known]
    if not new:
        raise InputError(
            "every word of this text is known to the tokenizer already, so there is nothing to add; train "
            "without --adapt-vocabulary"
        )
    first = max(known.values()) + 1
    for number, entry in enumerate(sorted(new, key=lambda entry: (-counts[entry], entry))):
        model["vocab"][entry] = first + number
    return Tokenizer.from_str(json.dumps(content))


def check_extendable(tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer to which words cannot be added without changing how it cuts others.

    Raises:
        ModelError: it is not WordPiece.
    """
    kind = json.loads(tokenizer.to_str())["model"]["type"]
    if kind != "WordPiece":
        reasons = {
            "BPE": "new words would need new merges, which cut other words anew",
            "Unigram": "new pieces compete with the old ones for every text",
        }
        raise ModelError(
            "the vocabulary can be adapted where the tokenizer is WordPiece (BERT's and its kin's), and this "
            f"one is {kind}: {reasons.get(kind, 'it has no pieces')}; train without --adapt-vocabulary, or "
            "choose minilm"
        )


def _entries(
    words: Counter[str], tokenizer: Tokenizer, trained: Tokenizer, *, inside: str, unknown: str
) -> Counter[str]:
    """What the vocabulary needs for the words, each with its number of occurrences."""
    entries: Counter[str] = Counter()
    for word, count in words.items():
        known = tokenizer.model.tokenize(word)
        if len(known) == 1 and known[0].value != unknown:
            continue
        pieces = _pieces(word, trained)
        if len(pieces) > 1:
            if any(token.value == unknown for token in known):
                entries[pieces[0]] += count
                for piece in pieces[1:]:
                    entries[inside + piece] += count
        else:
            entries[word] += count
    return entries


def _pieces(word: str, trained: Tokenizer) -> list[str]:
    """The parts of a word that the trained tokenizer cuts it into, in its own spelling."""
    spans = [span for span in trained.encode(word).offsets if span[0] < span[1]]
    pieces = [word[start:end] for start, end in spans]
    # What one character is spelled out as (NFKC) would be in there twice.
    return pieces if "".join(pieces) == word else list(word)
