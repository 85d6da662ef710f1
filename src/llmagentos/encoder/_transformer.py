"""Any Hugging Face backbone as an encoder: special tokens, micro-batches and pooling inside.

Texts come ragged and without special tokens, because views are made in token space. Inside, they are
sorted by length and cut into micro-batches of a token budget. A micro-batch goes through the backbone as
one row without any padding where the backbone can do that, which is found by trying, and else padded to
its longest text.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from llmagentos.encoder._adaptation import ExtendedEmbedding, joined_state
from llmagentos.encoder._attention import PACKED
from llmagentos.encoder._encoder import Encoder, Work, moved
from llmagentos.encoder._folder import Pooling, read_json, write_json, write_modules
from llmagentos.encoder._memory import is_out_of_memory
from llmagentos.encoder._packing import Packing
from llmagentos.encoder._quiet import quiet_transformers
from llmagentos.encoder._special_tokens import special_tokens
from llmagentos.encoder._vocabulary import vocabulary_rows
from llmagentos.errors import ConfigError, ModelError
from llmagentos.tokens import ragged_index

Ints = npt.NDArray[np.int64]

# Written by transformers into each tokenizer_config.json; they tell how this machine loaded the
# tokenizer and mean nothing on another.
_LOCAL_TOKENIZER_KEYS = ("is_local", "local_files_only", "name_or_path")

# What transformers 5 writes for a tokenizer of no model's own. Both versions read its earlier name, and
# version 4 only that.
_NEW_TOKENIZER_NAME = "TokenizersBackend"

# What a trial of packing is made long enough for. The row of BERT's 512 positions takes all-MiniLM-L6-v2
# 0.15 s on one core; a text beyond a window of 512 goes packed and padded, so about twice (not measured).
_LONGEST_TRIED_ROW = 2048
_LONGEST_TRIED_WINDOW = 512


class TransformerEncoder(Encoder):
    """A Transformer and a pooling of its last hidden states.

        h(x) = pool over t of Transformer([prefix] x [suffix])_t, padding left out

    Args:
        backbone: From `AutoModel`, float32.
        tokenizer: Its fast tokenizer; says which special tokens stand around a text.
        pooling: `mean` over all tokens with the special ones, `cls` (first) or `lasttoken`.
        max_seq_length: Longest input in tokens with the special ones; longer texts are cut at the end.
            None = what tokenizer and backbone allow.
        micro_batch_tokens: Token slots, special tokens and padding included, that go through the backbone
            at once; 1,024 to 65,536 is usual; on a CPU 2,048 stay in the cache (1.5 s
            of processor time a batch where 8,192 take 2.1).
        name: For model cards and messages.

    Raises:
        ModelError: The tokenizer is slow (gives no offsets), has no token to pad with or does not belong
            to the backbone, or the backbone is an encoder-decoder.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        pooling: Pooling = "mean",
        max_seq_length: int | None = None,
        micro_batch_tokens: int = 2048,
        name: str = "transformer",
    ) -> None:
        super().__init__()
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise ModelError(
                f"the tokenizer of {name} is a slow one ({type(tokenizer).__name__}): it does not tell where "
                "in the text a token stands, which views need; choose a model that has a tokenizer.json"
            )
        if backbone.config.is_encoder_decoder:
            raise ModelError(
                f"{name} is an encoder-decoder ({backbone.config.model_type}), which makes no "
                "embeddings as it is; choose an encoder or a decoder-only model"
            )
        rows = len(cast(nn.Embedding, backbone.get_input_embeddings()).weight)
        needed = vocabulary_rows(tokenizer.backend_tokenizer)
        if needed > rows:
            raise ModelError(
                f"the tokenizer of {name} needs {needed} rows but the backbone has only {rows}; they do not "
                "belong together, fetch the model again"
            )
        if tokenizer.pad_token_id is None:
            # GPT-2 and Llama have none. sentence-transformers pads an exported model with this one; which
            # it is changes nothing, padding is left out by the attention mask.
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        if tokenizer.pad_token_id is None:
            raise ModelError(
                f"the tokenizer of {name} has no pad_token, eos_token or unk_token, so texts of different "
                'length cannot go together; name a token in its tokenizer_config.json: "pad_token": TOKEN'
            )
        self.name, self.pooling = name, pooling
        self.micro_batch_tokens: int | None = micro_batch_tokens
        self.dimension = int(backbone.config.hidden_size)
        self.backbone = backbone
        # The first hidden state alone goes through BERT's pooler, which no embedding uses. It stays for
        # the exported folder to be complete, and gets no gradient and no weight decay.
        if isinstance(pooler := getattr(backbone, "pooler", None), nn.Module):
            pooler.requires_grad_(False)
        backbone.config.use_cache = False

        self._pretrained_tokenizer = tokenizer
        self.tokenizer = tokenizer.backend_tokenizer
        # Saved tokenizers may cut and pad on their own: all-MiniLM-L6-v2's at 128 tokens.
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self._prefix, self._suffix = special_tokens(self.tokenizer, name)
        self._pad = tokenizer.pad_token_id
        self.max_seq_length = max_seq_length or _longest(backbone, tokenizer)
        num_special = len(self._prefix) + len(self._suffix)
        self.max_tokens = None if self.max_seq_length is None else max(self.max_seq_length - num_special, 0)
        self._first_position = _first_position(backbone)
        usual = backbone.config._attn_implementation
        # Another encoder may have had this backbone before. What packs goes through transformers' attention
        # interface, whose usual one this is.
        self._usual_attention = "sdpa" if usual == PACKED else usual
        self.packs = self._packs_exactly()
        tables = {id(module.weight) for module in backbone.modules() if isinstance(module, nn.Embedding)}
        used = ((name, p) for name, p in backbone.named_parameters() if p.requires_grad)  # not the pooler
        self._matrices = {name for name, p in used if p.ndim == 2 and id(p) not in tables}

    @property
    def packs(self) -> bool:
        """Whether texts go through the backbone as one row, without padding.

        The backbone's own setting says it, for all threads and until it is set again; what it is set to at
        first was found by trying.
        """
        return bool(self.backbone.config._attn_implementation == PACKED)

    @packs.setter
    def packs(self, packs: bool) -> None:
        self.backbone.config._attn_implementation = PACKED if packs else self._usual_attention

    def micro_batches(self, lengths: Int64[Tensor, " n"]) -> list[Int64[Tensor, " m"]]:
        """Rows that go through the backbone together, longest first. See `Encoder.micro_batches`."""
        slots = self._slots(lengths)
        order = slots.argsort(descending=True, stable=True)
        return _micro_batches(order, slots[order].tolist(), self.micro_batch_tokens, padded=not self.packs)

    def forward(self, tokens: Int64[Tensor, " t"], offsets: Int64[Tensor, " n+1"]) -> Float32[Tensor, "n d"]:
        """Pooled last hidden states, float32 (N, D). See `Encoder.forward`.

        A text without any token, special ones included, gives zero.
        """
        h = torch.zeros(len(offsets) - 1, self.dimension, device=self.device)
        rows = [batch.numpy() for batch in self.micro_batches(offsets.diff().cpu())]
        ids, starts, lengths = self._with_special_tokens(tokens.cpu().numpy(), offsets.cpu().numpy())
        rows = [kept for batch in rows if len(kept := batch[lengths[batch] > 0])]
        if not rows:
            return h
        vectors = [self._embed(ids, starts[batch], lengths[batch]) for batch in rows]
        return h.index_copy(0, moved(torch.from_numpy(np.concatenate(rows)), self.device), torch.cat(vectors))

    def work(self, lengths: Int64[Tensor, " n"]) -> Work:
        """See `Encoder.work`.

        Padding inside the rows of attention is not counted, and weights that several layers share (ALBERT's)
        count once.

        Source: Chowdhery et al. 2022, PaLM, appendix B: 6 operations a weight of a matrix and token (2 for
        the forward pass alone, where it is frozen), and for the attention of each layer 12 a token, token
        that it sees and column of all heads (4 where the layer is frozen).
        """
        slots = self._slots(lengths)
        tokens = num_slots = int(slots.sum())
        if not self.packs:
            num_slots = sum(len(rows) * int(slots[rows[0]]) for rows in self.micro_batches(lengths))
        matrices = (p for name, p in self.backbone.named_parameters() if name in self._matrices)
        per_weight = sum(p.numel() * (6 if p.requires_grad else 2) for p in matrices)
        config = self.backbone.config
        head_dimension = _setting(config, "head_dim")
        width = int(config.num_attention_heads * head_dimension) if head_dimension else self.dimension
        num_frozen = sum(all(not p.requires_grad for p in layer.parameters()) for layer in self.layers)
        per_pair = width * (12 * (int(config.num_hidden_layers) - num_frozen) + 4 * num_frozen)
        return Work(
            tokens=tokens,
            slots=num_slots,
            flops=float(per_weight * tokens + per_pair * int(slots.square().sum())),
        )

    def freeze(self, num_layers: int) -> None:
        """Freeze what a text goes through before layer `num_layers`, embeddings too. See `Encoder.freeze`.

        Raises:
            ConfigError: there are not more layers than that, or it cannot be told which they are.
        """
        if not num_layers:
            return
        layers = self.layers
        if not layers:
            raise ConfigError(
                f"freeze_layers must be 0 for {self.name}, for it cannot be told which modules of this kind "
                f"of model ({self.backbone.config.model_type}) are its layers, got {num_layers}; train all "
                "of it, or choose another model (training.freeze_layers)"
            )
        if num_layers >= len(layers):
            raise ConfigError(
                f"freeze_layers must be below {len(layers)}, the layers of {self.name}, got {num_layers} "
                "(training.freeze_layers)"
            )
        for module in self._called_before(layers[num_layers]):
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
        # A layer may have parts that no short text goes through, as a mixture of experts has.
        for layer in layers[:num_layers]:
            layer.requires_grad_(False)

    @property
    def table(self) -> nn.Parameter:
        """See `Encoder.table`."""
        table = cast(nn.Embedding | ExtendedEmbedding, self.backbone.get_input_embeddings())
        return table.new if isinstance(table, ExtendedEmbedding) else cast(nn.Parameter, table.weight)

    @property
    def layers(self) -> Sequence[nn.Module]:
        """The list of as many modules as the model has layers, if there is just one. See `Encoder.layers`.

        There is none where a layer is spread over several lists (XLM) or is used again and again (ALBERT).
        """
        number = _setting(self.backbone.config, "num_hidden_layers")
        lists = [list(module) for module in self.backbone.modules() if isinstance(module, nn.ModuleList)]
        found = [
            modules
            for modules in lists
            if len(modules) == number and not any(isinstance(module, nn.Embedding) for module in modules)
        ]
        return found[0] if len(found) == 1 else []

    def save(self, folder: Path) -> None:
        """Write a folder that sentence-transformers and transformers load. See `Encoder.save`."""
        joined = joined_state(self.backbone)
        with quiet_transformers():
            self.backbone.save_pretrained(folder, state_dict=joined)
            self._pretrained_tokenizer.save_pretrained(folder)
        config: dict[str, Any] = read_json(folder / "tokenizer_config.json", dict)
        if joined is not None:
            # A class such as BertTokenizer makes its own normaliser in place of the adapted one. Without the
            # class its inputs have to be named: DistilBERT takes no token_type_ids.
            config["model_input_names"] = self._pretrained_tokenizer.model_input_names
        if joined is not None or config.get("tokenizer_class") == _NEW_TOKENIZER_NAME:
            config["tokenizer_class"] = "PreTrainedTokenizerFast"
        write_json(
            folder / "tokenizer_config.json",
            {key: value for key, value in config.items() if key not in _LOCAL_TOKENIZER_KEYS},
        )
        write_modules(
            folder, dimension=self.dimension, pooling=self.pooling, max_seq_length=self.max_seq_length
        )

    # Where tokens go is worked out by numpy on the CPU: a GPU would be waited for, and PyTorch wakes all
    # threads for 33,000 numbers, which took 16 of them 2 to 8 ms each time, four times as long as the GPU
    # needs for a batch of 256 pairs.
    def _with_special_tokens(self, tokens: Ints, offsets: Ints) -> tuple[Ints, Ints, Ints]:
        """Each text cut to the longest allowed, in prefix and suffix: all tokens, starts and lengths."""
        kept = np.diff(offsets)
        if self.max_tokens is not None:
            kept = kept.clip(max=self.max_tokens)
        lengths = kept + len(self._prefix) + len(self._suffix)
        ends = lengths.cumsum()
        starts = ends - lengths
        result = np.empty(lengths.sum(), np.int64)
        result[starts[:, None] + np.arange(len(self._prefix))] = self._prefix
        result[ends[:, None] - len(self._suffix) + np.arange(len(self._suffix))] = self._suffix
        result[ragged_index(starts + len(self._prefix), kept)] = tokens[ragged_index(offsets[:-1], kept)]
        return result, starts, lengths

    def _slots(self, lengths: Tensor) -> Tensor:
        """Tokens with the special ones, of texts of so many tokens."""
        kept = lengths if self.max_tokens is None else lengths.clamp_max(self.max_tokens)
        return kept + len(self._prefix) + len(self._suffix)

    def _embed(self, ids: Ints, starts: Ints, lengths: Ints) -> Tensor:
        """Embeddings of one micro-batch, longest text first, none empty."""
        hidden_states = self._packed if self.packs else self._padded
        hidden = hidden_states(ids, starts, lengths)
        return self._pooled(hidden, moved(torch.from_numpy(lengths), self.device)).float()

    def _packed(self, ids: Ints, starts: Ints, lengths: Ints) -> Tensor:
        """Last hidden states (T, D) of the texts' tokens, which go as one row, without padding."""
        offsets = torch.from_numpy(np.concatenate([[0], lengths.cumsum()]))
        packing = Packing(offsets, int(lengths[0]), self.device)
        packed = torch.from_numpy(ids[ragged_index(starts, lengths)])
        positions = packing.positions.add_(self._first_position)
        hidden: Tensor = self.backbone(
            input_ids=moved(packed, self.device)[None],
            position_ids=moved(positions, self.device)[None],
            packing=packing,
        ).last_hidden_state[0]
        return hidden

    def _padded(self, ids: Ints, starts: Ints, lengths: Ints) -> Tensor:
        """The same, of texts that are padded on the right to the longest."""
        grid = np.arange(lengths[0])
        is_token = grid < lengths[:, None]
        padded = np.where(is_token, ids[(starts[:, None] + grid).clip(max=len(ids) - 1)], self._pad)
        arrays = padded, is_token.astype(np.int64), is_token.ravel().nonzero()[0]
        input_ids, mask, places = (moved(torch.from_numpy(array), self.device) for array in arrays)
        hidden: Tensor = self.backbone(input_ids=input_ids, attention_mask=mask).last_hidden_state
        return hidden.flatten(0, 1).index_select(0, places)

    def _pooled(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """(N, D) from the hidden states of all tokens."""
        if self.pooling == "mean":
            return torch.segment_reduce(hidden.float(), "mean", lengths=lengths, axis=0, unsafe=True)
        ends = lengths.cumsum(0)
        return hidden[ends - lengths] if self.pooling == "cls" else hidden[ends - 1]

    @torch.no_grad()
    def _packs_exactly(self) -> bool:
        """Whether texts in one row come out as they do padded: tried, for a model does not say.

        Positions have to be told by `position_ids` alone, and tokens may meet in attention only. The row is
        longer than the model's positions, whose number some models (CLIP's) hold every row to, and one text
        is longer than the window of its attention, where they are not too many to try.
        """
        config = self.backbone.config
        # Llama 4 looks within chunks of thousands of tokens, and attention does not learn of it.
        if _setting(config, "attention_chunk_size"):
            return False
        longest, row = 5, 0
        for name in ("sliding_window", "local_attention"):
            if (window := _setting(config, name) or 0) <= _LONGEST_TRIED_WINDOW:
                longest = max(longest, window + 2)
        if self.max_seq_length is not None:
            longest = min(longest, self.max_seq_length)
        if (positions := _setting(config, "max_position_embeddings") or 0) <= _LONGEST_TRIED_ROW:
            row = positions + 1
        short = max(min(longest, 5) - 2, 1)
        tokens, starts, lengths = self._trial(longest, short, *[short] * (max(row - longest, 0) // short))
        with _evaluating(self.backbone):
            self.packs = True
            try:
                packed = self._packed(tokens, starts, lengths)
            except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                if is_out_of_memory(error):
                    raise
                return False  # a model that knows no positions, or no attention but its own
            finally:
                self.packs = False
            # Two of them are enough: the others are there for the length of the row.
            padded = self._padded(tokens, starts[:2], lengths[:2])
        packed = packed[: len(padded)]
        return torch.allclose(packed, padded, rtol=1e-4, atol=1e-4 * padded.abs().max().item())

    def _trial(self, *lengths: int) -> tuple[Ints, Ints, Ints]:
        """Tokens, starts and lengths of texts that mean nothing; the first tokens are often special ones."""
        size = int(self.backbone.config.vocab_size)
        ids = np.arange(sum(lengths)) % max(size - 7, 1) + min(7, size - 1)
        sizes = np.array(lengths)
        return ids, sizes.cumsum() - sizes, sizes

    @torch.no_grad()
    def _called_before(self, layer: nn.Module) -> list[nn.Module]:
        """What a text goes through before it comes to that layer, found by sending one; and all tables.

        DeBERTa's table of relative positions is no module that is called: layers are given its weights.
        """
        in_layers = {module for layer in self.layers for module in layer.modules()}
        tables = [module for module in self.backbone.modules() if isinstance(module, nn.Embedding)]
        found: list[nn.Module] = [table for table in tables if table not in in_layers]
        is_there = False

        def note(module: nn.Module, _: Any) -> None:
            nonlocal is_there
            is_there = is_there or module is layer
            if not is_there:
                found.append(module)

        hooks = [module.register_forward_pre_hook(note) for module in self.backbone.modules()]
        try:
            with _evaluating(self.backbone):
                self._embed(*self._trial(min(5, self.max_seq_length or 5)))
        finally:
            for hook in hooks:
                hook.remove()
        return found


def _setting(config: PreTrainedConfig, name: str) -> int | None:
    """A number of a model's configuration; None where it has none, or one for each layer (Gemma 4)."""
    try:
        number: int | None = getattr(config, name, None)
    except RuntimeError:  # of transformers, which would have each layer asked
        return None
    return number


@contextmanager
def _evaluating(backbone: PreTrainedModel) -> Iterator[None]:
    """In here nothing is dropped; then each module has the mode that it had."""
    modes = {module: module.training for module in backbone.modules()}
    backbone.train(False)
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _longest(backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Longest input that tokenizer and backbone allow."""
    positions = getattr(backbone.config, "max_position_embeddings", None) or -1
    limits = [tokenizer.model_max_length, positions - _first_position(backbone)]
    # Tokenizers without a limit say 10^30, XLNet says -1.
    return min((int(limit) for limit in limits if 0 < limit < 1e9), default=None)


def _first_position(backbone: PreTrainedModel) -> int:
    """Position of a text's first token: 0, but RoBERTa and its kin start behind that of padding."""
    for name, module in backbone.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return 0 if module.padding_idx is None else module.padding_idx + 1
    return 0


def _micro_batches(order: Tensor, slots: list[int], budget: int | None, *, padded: bool) -> list[Tensor]:
    """Cut rows, longest first, into runs of at most `budget` slots, but at least one row each."""
    if budget is None:
        return [order] if len(order) else []
    cuts, used = [0], 0
    for place, size in enumerate(slots):
        used += slots[cuts[-1]] if padded else size
        if used > budget and place > cuts[-1]:
            cuts.append(place)
            used = size
    return [order[start:stop] for start, stop in pairwise([*cuts, len(slots)]) if stop > start]
