"""A finished model: texts in, unit vectors out, with neither training code nor sentence-transformers."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch.nn import functional

from llmagentos.encoder import Encoder, load_encoder
from llmagentos.errors import InputError

# Characters that are tokenised and embedded together: enough for the tokenizer's threads and for
# micro-batches of one length, and at most a few hundred MB however long the texts are.
_CHUNK_CHARACTERS = 8_000_000
_CHUNK_TEXTS = 16_384


class EmbeddingModel:
    """An encoder ready to embed texts; gives the same vectors as `SentenceTransformer` on its folder.

    Args:
        encoder: Is put in evaluation mode, and stays where it is (CPU or GPU).

    Example:
        >>> from tokenizers import models, pre_tokenizers
        >>> from llmagentos.encoder import StaticEncoder
        >>> tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "cat": 2}, unk_token="[UNK]"))
        >>> tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> model = EmbeddingModel(StaticEncoder(tokenizer, dimension=8))
        >>> vectors = model.encode(["a cat", "cat a", ""])
        >>> vectors.shape, vectors.dtype, [round(float(v @ v), 3) for v in vectors]
        ((3, 8), dtype('float32'), [1.0, 1.0, 0.0])
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder.eval()

    @classmethod
    def load(cls, name_or_path: str | Path, *, device: str | None = None) -> "EmbeddingModel":
        """The model of that name.

        Args:
            name_or_path: `minilm`, a model folder or a Hugging Face id; see `load_encoder`.
            device: Such as `cpu` or `cuda:1`; default a GPU where there is one.

        Returns:
            The model.

        Raises:
            ModelError: See `load_encoder`.
        """
        encoder = load_encoder(name_or_path)
        return cls(encoder.to(device or ("cuda" if torch.cuda.is_available() else "cpu")))

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer; adds no special tokens when used with `add_special_tokens=False`."""
        return self.encoder.tokenizer

    @property
    def dimension(self) -> int:
        """D, the length of the vectors."""
        return self.encoder.dimension

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """The unit vector of each text.

        Args:
            texts: Any number of texts of any length; a static encoder reads all of a text, a Transformer
                its first `encoder.max_tokens` tokens.

        Returns:
            float32 (n, D), rows of length 1; a text without tokens gives a row of zeros where the encoder
            has no special tokens.

        Raises:
            InputError: One string instead of a list, or something that is no string, or no Unicode text.
        """
        if isinstance(texts, str):
            raise InputError("texts must be a list of strings, got one string; put it in brackets: [text]")
        vectors = np.empty((len(texts), self.dimension), np.float32)
        start = 0
        while start < len(texts):
            stop = _chunk_end(texts, start)
            vectors[start:stop] = self._encode_chunk(list(texts[start:stop]))
            start = stop
        return vectors

    def _encode_chunk(self, texts: list[str]) -> npt.NDArray[np.float32]:
        # The fast variant leaves out the offsets into the text, which nothing here needs.
        try:
            ids = [e.ids for e in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        except TypeError as error:  # the texts are strings, so one of them cannot be UTF-8
            raise InputError(
                "one of the texts holds half a character (a lone surrogate); repair it, for example with "
                "text.encode('utf-8', 'replace').decode()"
            ) from error
        offsets = np.zeros(len(ids) + 1, np.int64)
        np.cumsum([len(i) for i in ids], out=offsets[1:])
        tokens = np.fromiter(chain.from_iterable(ids), np.int64, offsets[-1])
        h = self.encoder(torch.from_numpy(tokens), torch.from_numpy(offsets))
        unit: npt.NDArray[np.float32] = functional.normalize(h, dim=1).cpu().numpy()
        return unit


def _chunk_end(texts: Sequence[str], start: int) -> int:
    """Where the chunk that starts at `start` ends: at least one text, then up to the limits."""
    characters = 0
    for stop in range(start, min(start + _CHUNK_TEXTS, len(texts))):
        if not isinstance(texts[stop], str):
            raise InputError(
                f"texts must be strings, got {type(texts[stop]).__name__} at position {stop}; leave it "
                "out or put its text there"
            )
        characters += len(texts[stop])
        if characters > _CHUNK_CHARACTERS:
            return max(stop, start + 1)
    return min(start + _CHUNK_TEXTS, len(texts))
