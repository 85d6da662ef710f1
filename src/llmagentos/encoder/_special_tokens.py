"""Which special tokens stand around a text, found by asking its tokenizer."""

from tokenizers import Tokenizer

from llmagentos.errors import ModelError


def special_tokens(tokenizer: Tokenizer, name: str) -> tuple[list[int], list[int]]:
    """The token ids that the tokenizer puts before and after one text, found by asking it.

    Args:
        tokenizer: With its post-processor; no padding, no truncation.
        name: Of the model, for the message.

    Returns:
        Ids before and ids after a text; [] where there are none.

    Raises:
        ModelError: They cannot be told from the tokens of the text.
    """
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    for probe in ("a", "1", "中", *sorted(tokenizer.get_vocab().keys() - special)):
        plain = tokenizer.encode(probe, add_special_tokens=False).ids
        if not plain:
            continue
        encoding = tokenizer.encode(probe)
        start = encoding.special_tokens_mask.index(0)
        end = start + len(plain)
        if encoding.ids[start:end] != plain:
            break
        return encoding.ids[:start], encoding.ids[end:]
    raise ModelError(
        f"the special tokens of {name}'s tokenizer cannot be told from those of a text; use a model whose "
        "tokenizer.json has a template post-processor"
    )
