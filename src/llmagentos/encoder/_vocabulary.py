"""How many rows a table of token vectors needs: ids may have gaps, so the count of tokens is not enough."""

from tokenizers import Tokenizer


def vocabulary_rows(tokenizer: Tokenizer) -> int:
    """Highest token id + 1, added tokens included; 0 for an empty vocabulary.

    Args:
        tokenizer: Any; tokens that were taken out of its file leave gaps between the ids.

    Returns:
        Rows of a table in which each token has its own.

    Example:
        >>> from tokenizers import models
        >>> tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "cat": 7}, unk_token="[UNK]"))
        >>> vocabulary_rows(tokenizer), tokenizer.get_vocab_size()
        (8, 2)
    """
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
