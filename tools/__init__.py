"""What checks the project: the documents' commands and, in tests, the shapes of arrays."""

from tools._shapes import checked

__all__ = ["checked"]
