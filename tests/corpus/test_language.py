"""The guess of the language is right where it is clear and silent where it is not."""

import pytest

from llmagentos.corpus import guess_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("We present a method for the classification of documents.", "en"),
        ("Der Hund und die Katze sind nicht auf dem Tisch.", "de"),
        ("Les enfants jouent dans la cour avec une balle.", "fr"),
        ("El perro y los gatos están por la calle.", "es"),
        ("本文提出了一种使用 Transformer 的文本分类方法。", "zh"),
        ("これは日本語の文章です。", "ja"),
        ("이것은 한국어 문장입니다.", "ko"),
        ("Это предложение на русском языке.", "ru"),
        ("Це речення українською мовою, її і їхня.", "uk"),
        ("هذه جملة باللغة العربية", "ar"),
        ("Αυτή είναι μια πρόταση.", "el"),
        ("12 + 30 = 42", ""),
        ("", ""),
    ],
)
def test_guess(text: str, language: str) -> None:
    assert guess_language(text) == language
