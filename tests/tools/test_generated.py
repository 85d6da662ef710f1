"""The generated parts of the documents say what the code says."""

import pytest

from tools.generated import ROOT, SECTIONS, error_tree, updated


@pytest.mark.parametrize("name", SECTIONS)
def test_the_document_is_up_to_date(name: str) -> None:
    document = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert document == updated(document, SECTIONS[name]()), "run: make documents"


def test_exceptions_stand_under_their_kind() -> None:
    lines = list(error_tree())
    assert lines[0].startswith("- `LLMAgentOSError`")
    assert any(line.startswith("        - `CollapseError`") for line in lines)


def test_only_what_is_between_the_marks_is_replaced() -> None:
    text = "before\n<!-- generated: make documents -->\nold\n<!-- end -->\nafter\n"
    assert updated(text, iter(["new"])) == text.replace("old", "new")
    with pytest.raises(ValueError, match="no marks"):
        updated("text", iter([]))
