"""Which errors say that memory ran out, and what is said of it; on the CPU there is no class for them."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from llmagentos.errors import OutOfMemoryError

# What oneDNN says; afterwards it refuses every product of the process, whatever memory there is.
_NO_MORE_PRODUCTS = "could not create a primitive"
# PyTorch's allocator for the CPU, oneDNN's products, C++, files that are mapped; CUDA and NCCL where they do
# not ask PyTorch's allocator; cuBLAS.
_NO_MEMORY = (
    "can't allocate memory",
    _NO_MORE_PRODUCTS,
    "bad_alloc",
    "Cannot allocate memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out.

    Args:
        error: any.

    Returns:
        True for those of a GPU, of Python and of PyTorch on a CPU.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError("a wrong shape"))
        (True, False)
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError) and error.errno is not None:  # its text has the name of a file
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError | OSError) and any(sign in str(error) for sign in _NO_MEMORY)


def can_go_on_after(error: BaseException) -> bool:
    """Whether a process in which memory ran out, as that error says, can still multiply matrices."""
    return _NO_MORE_PRODUCTS not in str(error)


@contextmanager
def memory_for(what: str, *, advice: str) -> Iterator[None]:
    """In here memory that runs out is an error that says for what, and what to do.

    Args:
        what: needs it.
        advice: to the user.

    Raises:
        OutOfMemoryError: memory ran out.

    Example:
        >>> with memory_for("the optimiser", advice="choose a smaller encoder"):
        ...     raise MemoryError
        Traceback (most recent call last):
        llmagentos.errors.OutOfMemoryError: memory ran out for the optimiser; choose a smaller encoder
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(f"memory ran out for {what}; {advice}") from error
