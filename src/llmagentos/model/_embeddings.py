"""Vectors of whole files of text: rows of a .npy, or id, text and vector in a .parquet."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llmagentos.corpus import CorpusConfig, Document, Skipped, read_documents
from llmagentos.errors import InputError, OutputError
from llmagentos.model._embedding_model import EmbeddingModel

_CHUNK_TEXTS: Final = 8_192
