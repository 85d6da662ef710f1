"""Files, folders and streams in; a cleaned, deduplicated, split corpus on disk out.

Every document that comes in is kept or counted with a reason; the manifest adds up.

Examples:
    >>> import tempfile
    >>> from llmagentos.corpus import CorpusConfig, Document, build_corpus
    >>> texts = [f"Text number {number} of the corpus." for number in range(20)]
    >>> documents = [Document(id=str(number), text=text) for number, text in enumerate(texts)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     corpus = build_corpus(documents, folder + "/corpus", CorpusConfig(heldout_documents=5))
    ...     corpus.num_training, corpus.num_heldout
    (15, 5)
"""

from llmagentos.corpus._build import Progress, build_corpus
from llmagentos.corpus._config import CorpusConfig
from llmagentos.corpus._corpus import Corpus
from llmagentos.corpus._document import Document, Skipped, content_hash
from llmagentos.corpus._inputs import read_documents
from llmagentos.corpus._language import guess_language
from llmagentos.corpus._manifest import InputSummary, Manifest, ShardSummary
from llmagentos.corpus._output import disk_errors, write_whole
from llmagentos.corpus._preparing import clean_document, cut_document
from llmagentos.corpus._python_docs import harvest_python_docs
from llmagentos.corpus._structure import PAIR_KINDS, PairKind, TextPair, structural_pairs
from llmagentos.corpus._zstd import read_zstd

__all__ = [
    "PAIR_KINDS",
    "Corpus",
    "CorpusConfig",
    "Document",
    "InputSummary",
    "Manifest",
    "PairKind",
    "Progress",
    "ShardSummary",
    "Skipped",
    "TextPair",
    "build_corpus",
    "clean_document",
    "content_hash",
    "cut_document",
    "disk_errors",
    "guess_language",
    "harvest_python_docs",
    "read_documents",
    "read_zstd",
    "structural_pairs",
    "write_whole",
]
