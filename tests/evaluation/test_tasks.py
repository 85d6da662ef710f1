from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import zstandard

from llmagentos.errors import InputError
from llmagentos.evaluation import ClassificationTask, RetrievalTask, STSTask, load_task

Write = Callable[[str, Sequence[object]], Path]


def retrieval_folder(write: Write, name: str = "ir") -> Path:
    write(f"{name}/corpus.jsonl", [{"_id": "a", "title": "T", "text": "x"}, {"id": 7, "text": "y"}])
    write(f"{name}/queries.jsonl", [{"_id": "q1", "text": "first"}, {"_id": "q2", "text": "second"}])
    lines = ["query-id\tcorpus-id\tscore", "q1\ta\t2", "q1\tlost\t1", "q1\t7\t0", "q2\tlost\t1"]
    return write(f"{name}/qrels.tsv", lines).parent


def test_a_folder_is_retrieval(write_lines: Write) -> None:
    task = load_task(retrieval_folder(write_lines))
    assert isinstance(task, RetrievalTask)
    assert task.documents == ("T x", "y") and task.document_ids == ("a", "7")
    assert task.queries == ("first",) and task.relevant == ({"a": 2, "lost": 1},)
    assert task.notes == ("1 of 2 queries have no relevant document and are left out",)
    assert (task.name, task.primary) == ("ir", "ndcg@10")


def test_trec_judgments_have_four_columns(write_lines: Write) -> None:
    folder = retrieval_folder(write_lines)
    write_lines("ir/qrels.tsv", ["q2 0 7 1"])
    task = load_task(folder)
    assert isinstance(task, RetrievalTask) and task.relevant == ({"7": 1},)


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.tsv.zst"])
def test_pairs_are_sts_plain_or_packed_by_either_name(write_lines: Write, name: str) -> None:
    rows = ["score\tsentence1\tsentence2\tsubset", "5\ta\tb\tx", "\tno\tscore\tx", "0.5\tc\td\tx"]
    plain = write_lines("pairs.tsv", rows)
    packed = plain.with_name("pairs.tsv.zst")
    packed.write_bytes(zstandard.compress(plain.read_bytes()))
    plain.unlink()
    task = load_task(packed.with_name(name))
    assert isinstance(task, STSTask)
    assert (task.left, task.right, task.gold) == (("a", "c"), ("b", "d"), (5.0, 0.5))
    assert task.notes == ("1 pairs without a score are left out",)


def test_labels_are_classification_and_plain_names_take_their_folders(write_lines: Write) -> None:
    task = load_task(write_lines("banking/test.tsv", ["label\ttext", *["a\tx"] * 5, *["b\ty"] * 3]))
    assert isinstance(task, ClassificationTask)
    assert task.name == "banking/test" and task.size == "8 texts, 2 labels"
    assert task.notes == ("1 labels have fewer than 5 texts, so some folds lack them",)


def test_titles_inside_a_file(write_lines: Write) -> None:
    rows = [{"title": "A", "text": "a\u2028b"}, {"text": "no title"}, {"title": "B", "text": "b"}]
    path = write_lines("held.jsonl", rows)
    task = load_task(f"{path}:title")
    assert isinstance(task, RetrievalTask)
    assert task.queries == ("A", "B") and task.documents == ("a\u2028b", "b")
    assert task.primary == "mrr@10" and task.notes == ("1 rows without title or text are left out",)


def test_windows_line_ends_and_byte_order_marks(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_bytes("\ufeffscore\tsentence1\tsentence2\r\n1\ta\tb\r\n2\tc\td\r\n".encode())
    task = load_task(path)
    assert isinstance(task, STSTask) and task.right == ("b", "d")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "first line must be the header"),
        (["text\tlabel", "a\tb"], "got 'text'"),
        (["score\tsentence1\tsentence2", "1\tone"], "line 2: a row is"),
        (["score\tsentence1\tsentence2", "high\ta\tb"], "score must be a finite number, got 'high'"),
        (["score\tsentence1\tsentence2", "nan\ta\tb"], "finite"),
        (["score\tsentence1\tsentence2", "1\ta\tb", "1\tc\td"], "different scores"),
        (["score\tsentence1\tsentence2"], "got 0 pairs"),
        (["label\ttext", "a"], "line 2: a row is"),
        (["label\ttext", *["a\tx"] * 9], "at least 2 labels"),
        (["label\ttext", *["a\tx"] * 4, *["b\tx"] * 4], "5 texts of the most frequent one"),
        (["label\ttext", *["a\tx"] * 9, "b\tx", "c\tx"], "at least 2 labels with 2 texts each"),
    ],
)
def test_malformed_tables_are_refused(write_lines: Write, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_task(write_lines("task.tsv", lines))


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        ("corpus.jsonl", ["{broken"], "line 1: expected one JSON object"),
        ("corpus.jsonl", ["[" * 100_000], "expected one JSON object"),
        ("corpus.jsonl", ["[1]"], "expected one JSON object"),
        ("corpus.jsonl", [{"_id": "a"}], "`text` must be a text, got None"),
        ("corpus.jsonl", [{"_id": 1.5, "text": "x"}], "`_id`"),
        ("corpus.jsonl", [{"_id": "a", "text": "x", "title": 3}], "`title` must be a text"),
        ("corpus.jsonl", [{"_id": "a", "text": "x"}, {"_id": "a", "text": "y"}], "occurs twice"),
        ("corpus.jsonl", ['{"_id": "a", "text": "\\ud83d"}'], "half a surrogate pair"),
        ("corpus.jsonl", [], "holds no documents"),
        ("queries.jsonl", [{"_id": "q1", "text": None}], "`text` must be a text"),
        ("qrels.tsv", ["q1\ta\t1", "q1\ta\tgood"], "line 2: a judgment is"),
        ("qrels.tsv", ["q1\ta\t1", "q1\t1"], "line 2: a judgment is"),
        ("qrels.tsv", ["q1\ta\t1", "q1\ta\t1999"], "of at most 60"),
        ("qrels.tsv", ["q1\tz\t1"], "no query of queries.jsonl has a relevant document"),
    ],
)
def test_malformed_folders_are_refused(
    write_lines: Write, file: str, lines: Sequence[object], message: str
) -> None:
    folder = retrieval_folder(write_lines)
    write_lines(f"ir/{file}", lines)
    with pytest.raises(InputError, match=message):
        load_task(folder)


def test_what_is_not_there_is_said(tmp_path: Path, write_lines: Write) -> None:
    with pytest.raises(InputError, match="there is no task at"):
        load_task(tmp_path / "nothing")
    with pytest.raises(InputError, match="there is no task at"):
        load_task(f"{tmp_path}/nothing.jsonl:title")
    with pytest.raises(InputError, match=r"corpus\.jsonl \(or corpus\.jsonl\.zst\) is missing"):
        load_task(tmp_path)
    with pytest.raises(InputError, match="at least 2 rows"):
        load_task(f"{write_lines('one.jsonl', [{'title': 'a', 'text': 'b'}])}:title")
    with pytest.raises(InputError, match=r"write .*held\.jsonl:title"):
        load_task(write_lines("held.jsonl", [{"title": "a", "text": "b"}]))


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.tsv").write_bytes(b"label\ttext\na\t\xe9\n")
    (tmp_path / "broken.tsv.zst").write_bytes(b"not zstandard")
    for name in ("latin.tsv", "broken.tsv.zst"):
        with pytest.raises(InputError, match="cannot be read"):
            load_task(tmp_path / name)


def test_a_packed_task_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    rows = "label\ttext\n" + "".join(f"{n % 2}\ttext number {n}\n" for n in range(2_000))
    first, second = zstandard.compress(rows.encode()), zstandard.compress(b"1\tthe last text\n")
    path = tmp_path / "task.tsv.zst"
    path.write_bytes(first + second)
    task = load_task(path)
    assert isinstance(task, ClassificationTask) and len(task.texts) == 2_001
    for data in (first[:-10], first + second[:-3]):
        path.write_bytes(data)
        with pytest.raises(InputError, match="cannot be read: the compressed data ends early"):
            load_task(path)


def test_every_shared_task_loads(shared: Path) -> None:
    folders = [one for one in sorted((shared / "data" / "eval").iterdir()) if (one / "corpus.jsonl").exists()]
    tables = sorted((shared / "data" / "eval").glob("*/*.tsv"))
    names = [load_task(one).name for one in [*folders, *(one for one in tables if one.name != "qrels.tsv")]]
    assert len(names) == len(set(names)) >= 15
