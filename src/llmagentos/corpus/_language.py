"""A guess of the language by script and, for Latin letters, by the commonest short words.

Enough to report what a corpus is made of and to choose rules by script; no figure depends on it.
"""

import re

__all__ = ["guess_language"]

_SAMPLE_CHARACTERS = 600
# First match wins, so the scripts that one language alone uses come before those that several share.
_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]"), 0.1),
    ("ko", re.compile("[\uac00-\ud7af\u1100-\u11ff]"), 0.2),
    ("zh", re.compile("[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]"), 0.2),
    ("el", re.compile("[\u0370-\u03ff]"), 0.5),
    ("he", re.compile("[\u0590-\u05ff]"), 0.5),
    ("th", re.compile("[\u0e00-\u0e7f]"), 0.5),
    ("hi", re.compile("[\u0900-\u097f]"), 0.5),
    ("uk", re.compile("[іїєґІЇЄҐ]"), 0.02),
    ("ru", re.compile("[\u0400-\u04ff]"), 0.5),
    ("fa", re.compile("[پچژگ]"), 0.02),
    ("ar", re.compile("[\u0600-\u06ff]"), 0.5),
)
_LETTERS = re.compile(r"[^\W\d_]")
# Without the words that are also common English ones: German "die", Portuguese "do" and "no".
_COMMON = {
    "en": "the of and to in is that for it with as on be this are by not or from an we can if you which",
    "de": "der und das ist nicht ein eine zu den von mit auf für im dem des sich auch als werden wird",
    "fr": "le la les et des est dans une que pour du qui sur pas au plus par avec ce sont cette nous",
    "es": "el los las y que del por con una para es se como más su al lo pero este son está",
    "it": "il di che per una è sono con non del della gli nel alla anche come più dei si questo",
    "pt": "o os que da em uma para com não por dos das mais como ao são na se foi",
    "nl": "de het een van en dat niet te op voor met zijn aan wordt ook bij naar deze worden",
}
_COMMON_WORDS = {language: frozenset(words.split()) for language, words in _COMMON.items()}


def guess_language(text: str) -> str:
    """The ISO 639-1 code of the language of a text, or "" where it is not clear.

    Looks at the first 600 characters. Mixed text is Chinese from one fifth of Han characters on: a
    Chinese technical text is full of Latin names.

    Examples:
        >>> guess_language("The water boils in the pot."), guess_language("水在锅里沸腾。")
        ('en', 'zh')
        >>> guess_language("1234 = 5678")
        ''
    """
    sample = text[:_SAMPLE_CHARACTERS]
    if not sample.isascii():
        letters = len(_LETTERS.findall(sample))
        for language, script, share in _SCRIPTS:
            if letters and len(script.findall(sample)) >= share * letters:
                return language
    words = set(sample.lower().split())
    hits = {language: len(words & common) for language, common in _COMMON_WORDS.items()}
    most = max(hits.values())
    best = [language for language, count in hits.items() if count == most]
    # A tie between two languages is no evidence for either.
    return best[0] if most and len(best) == 1 else ""
