"""The store gives back what `encode_texts` gave, whole or absent, and says what is damaged."""

import json
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Encoding, Tokenizer, models, pre_tokenizers

from llmagentos.corpus import Document
from llmagentos.errors import InputError, OutputError
from llmagentos.tokens import StoreProgress, TokenBatch, TokenStore, _store, build_store, encode_texts
from llmagentos.tokens._encode import mark_encodings

from .conftest import TEXTS, byte_level, documents, quick


@pytest.fixture(scope="module")
def letters() -> Tokenizer:
    """Three words and nothing else: no text of other words has a token."""
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "c": 2}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@pytest.fixture(scope="module")
def kept() -> list[str]:
    tokenizer = byte_level()
    return [text for text in TEXTS if tokenizer.encode(text).ids]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return build_store(documents(TEXTS), byte_level(), tmp_path_factory.mktemp("store") / "store")


def equal(left: TokenBatch, right: TokenBatch) -> bool:
    return all(
        np.array_equal(getattr(left, name), getattr(right, name))
        and getattr(left, name).dtype == getattr(right, name).dtype
        for name in ("tokens", "offsets", "flags")
    )


@quick
@given(data=st.data())
def test_rows_in_any_order(store: TokenStore, kept: list[str], data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(0, len(kept) - 1), max_size=20))
    batch = store.batch(np.array(indices, np.int64))
    assert equal(batch, encode_texts([kept[index] for index in indices], store.tokenizer))


@quick
@given(limit=st.integers(0, 60))
def test_limit_takes_the_first_tokens(store: TokenStore, kept: list[str], limit: int) -> None:
    whole = store.batch(np.arange(len(kept)))
    cut = store.batch(np.arange(len(kept)), limit=limit)
    for row in range(len(kept)):
        for name in ("tokens", "flags"):
            full = getattr(whole, name)[whole.offsets[row] : whole.offsets[row + 1]]
            assert np.array_equal(full[:limit], getattr(cut, name)[cut.offsets[row] : cut.offsets[row + 1]])


def test_texts_without_tokens_are_skipped(tmp_path: Path, letters: Tokenizer) -> None:
    store = build_store(documents(["", "a b", "!", " ", "c"]), letters, tmp_path / "store")
    assert len(store) == store.num_documents == 2
    assert store.batch(np.array([1, 0])).tokens.tolist() == [2, 0, 1]


def test_counts(store: TokenStore, kept: list[str]) -> None:
    ids = [encoding.ids for encoding in store.tokenizer.encode_batch(kept)]
    size = store.tokenizer.get_vocab_size()
    assert store.num_tokens == sum(map(len, ids))
    assert np.array_equal(
        store.document_counts, np.bincount([i for row in ids for i in set(row)], minlength=size)
    )


def test_equal_texts_and_equal_groups_have_equal_hashes(tmp_path: Path, letters: Tokenizer) -> None:
    groups = ["", "s", "s", "t"]
    texts = ["a", "b", "a", "c"]
    given = [Document(id=str(i), text=t, group=g) for i, (t, g) in enumerate(zip(texts, groups, strict=True))]
    store = build_store(given, letters, tmp_path / "store")
    assert store.hashes[0] == store.hashes[2] and np.unique(store.hashes).size == 3
    assert store.groups[0] == 0 and store.groups[1] == store.groups[2] != store.groups[3] != 0


@pytest.mark.parametrize(("size", "dtype"), [(65_536, "uint16"), (65_537, "int32")])
def test_the_largest_id_fits(tmp_path: Path, size: int, dtype: str) -> None:
    vocabulary = {f"w{number}": number for number in range(size)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    store = build_store(documents([f"w{size - 1} w1"]), tokenizer, tmp_path / "store")
    assert store.batch(np.array([0])).tokens.tolist() == [size - 1, 1]
    assert json.loads((tmp_path / "store" / "store.json").read_text())["token_dtype"] == dtype


def test_truncation_and_padding_of_the_tokenizer_are_ignored_and_left(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    store = build_store(documents(["a text of many tokens"]), tokenizer, tmp_path / "store")
    assert store.num_tokens > 2 and store.num_tokens != 9
    assert tokenizer.truncation is not None and tokenizer.padding is not None


def test_several_chunks(tmp_path: Path, letters: Tokenizer) -> None:
    texts = [("a b c " * (number % 4)).strip() for number in range(5000)]
    seen: list[StoreProgress] = []
    store = build_store(iter(documents(texts)), letters, tmp_path / "store", on_progress=seen.append)
    assert equal(store.batch(np.arange(len(store))), encode_texts([t for t in texts if t], letters))
    assert [progress.num_documents for progress in seen] == [768, 1536, 2304, 3072, 3750]
    assert seen[-1].num_tokens == store.num_tokens


def test_long_texts_are_tokenised_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = documents(["a" * 30, "b b", "a b " * 20, "c", "a", "b"] * 3)
    build_store(texts, byte_level(), tmp_path / "one")
    monkeypatch.setattr(_store, "_CHUNK_CHARACTERS", 40)
    sizes: list[int] = []

    def counting(some: list[str], encodings: list[Encoding], protect: Sequence[str]) -> TokenBatch:
        sizes.append(sum(map(len, some)) - len(some[-1]))
        return mark_encodings(some, encodings, protect)

    monkeypatch.setattr(_store, "mark_encodings", counting)
    build_store(texts, byte_level(), tmp_path / "many")
    assert len(sizes) > 3 and max(sizes) < 40
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


def test_the_arrays_stay_on_disk_also_in_a_worker(store: TokenStore) -> None:
    pickled = pickle.dumps(store)
    assert len(pickled) < 1000
    copy = pickle.loads(pickled)
    for value in (copy, store):
        arrays = [value.hashes, value.groups, value._tokens, value._flags, value._offsets]
        assert all(isinstance(array.base, np.memmap) and not array.flags.writeable for array in arrays)
    assert equal(copy.batch(np.arange(3)), store.batch(np.arange(3)))


def test_pickled_from_a_relative_path(
    tmp_path: Path, letters: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(build_store(documents(["a"]), letters, Path("store")))
    monkeypatch.chdir("/")
    assert len(pickle.loads(pickled)) == 1


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [Path.unlink, truncate, empty])
@pytest.mark.parametrize(
    "name", ["tokens", "flags", "offsets", "hashes", "groups", "documents", "tokenizer", "store"]
)
def test_damaged_files(tmp_path: Path, letters: Tokenizer, name: str, damage: Callable[[Path], None]) -> None:
    folder = tmp_path / "store"
    build_store(documents(["a b", "c"]), letters, folder)
    damage(folder / (name + (".json" if name in ("tokenizer", "store") else ".bin")))
    with pytest.raises(InputError, match=r"is not a complete token store .*build it again"):
        TokenStore(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("store.json", "[]"),
        ("store.json", '{"num_documents": 2}'),
        ("store.json", '{"num_documents": "2", "num_tokens": 3, "token_dtype": "nothing"}'),
        ("tokenizer.json", "{}"),
    ],
)
def test_files_that_say_something_else(tmp_path: Path, letters: Tokenizer, name: str, content: str) -> None:
    folder = tmp_path / "store"
    build_store(documents(["a b", "c"]), letters, folder)
    (folder / name).write_text(content)
    with pytest.raises(InputError, match="is not a complete token store"):
        TokenStore(folder)


def test_offsets_of_another_store(tmp_path: Path, letters: Tokenizer) -> None:
    folder = tmp_path / "store"
    build_store(documents(["a b", "c"]), letters, folder)
    (folder / "offsets.bin").write_bytes(np.array([0, 1, 2]).tobytes())
    with pytest.raises(InputError, match=r"offsets\.bin does not go from 0 to 3"):
        TokenStore(folder)


def test_no_store_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a complete token store"):
        TokenStore(tmp_path / "nowhere")


def test_no_text_with_a_token(tmp_path: Path, letters: Tokenizer) -> None:
    with pytest.raises(InputError, match="no text has a single token"):
        build_store(documents(["", "!"]), letters, tmp_path / "store")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_not_touched(tmp_path: Path, letters: Tokenizer) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        build_store(documents(["a"]), letters, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_interrupt_leaves_nothing_and_a_killed_build_is_replaced(
    tmp_path: Path, letters: Tokenizer
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_store(
            documents(["a"] * 3000), letters, tmp_path / "store", on_progress=lambda progress: interrupted()
        )
    assert not list(tmp_path.iterdir())
    (tmp_path / "store.partial").mkdir()
    (tmp_path / "store.partial" / "tokens.bin").write_text("left by a kill")
    assert len(build_store(documents(["a"]), letters, tmp_path / "store")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("number", [0, 3000, 5000])
def test_an_error_of_the_documents_leaves_no_thread_and_no_file(
    tmp_path: Path, letters: Tokenizer, error: type[BaseException], number: int
) -> None:
    def failing() -> Iterator[Document]:
        yield from documents(["a b"] * number)
        raise error("the documents end in an error")

    before = set(threading.enumerate())
    with pytest.raises(error, match="end in an error"):
        build_store(failing(), letters, tmp_path / "store")
    assert set(threading.enumerate()) == before
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_tokenizer_comes_out(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="[UNK]"))  # which it does not have
    with pytest.raises(Exception, match="UNK"):
        build_store(documents(["b"] * 3000), tokenizer, tmp_path / "store")
    assert not list(tmp_path.iterdir())


def test_phrases_are_protected(tmp_path: Path) -> None:
    store = build_store(documents(TEXTS), byte_level(), tmp_path / "store", protect=("lazy dogs", "学习"))
    plain = encode_texts([t for t in TEXTS if t], store.tokenizer, ("lazy dogs", "学习"))
    assert equal(store.batch(np.arange(len(store))), plain)


@pytest.mark.parametrize("limit", [100, 3000, 30_000])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, limit: int) -> None:
    code = """
        import resource, sys
        from pathlib import Path
        from tokenizers import Encoding, Tokenizer, models, pre_tokenizers
        from llmagentos.corpus import Document
        from llmagentos.errors import OutputError
        from llmagentos.tokens import build_store
        tokenizer = Tokenizer(models.WordLevel({f"w{n}": n for n in range(500)}, unk_token="w0"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        texts = (Document(id=str(n), text=f"w{n % 500} " * 5) for n in range(4000))
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
        try:
            build_store(texts, tokenizer, Path(sys.argv[1]))
        except OutputError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "store"), str(limit)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "the disk (or the quota) was full after" in run.stdout and "free some space" in run.stdout
    assert not list(tmp_path.iterdir())
