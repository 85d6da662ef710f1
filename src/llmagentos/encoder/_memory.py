"""Which errors say that memory ran out; on the CPU there is no class of its own for them."""

import torch

# What oneDNN says; afterwards it refuses every product of the process, whatever memory there is.
_NO_MORE_PRODUCTS = "could not create a primitive"
# PyTorch's allocator for the CPU, oneDNN's products, and C++.
_NO_MEMORY = ("can't allocate memory", _NO_MORE_PRODUCTS, "bad_alloc")


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
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _NO_MEMORY)


def can_go_on_after(error: BaseException) -> bool:
    """Whether a process in which memory ran out, as that error says, can still multiply matrices."""
    return _NO_MORE_PRODUCTS not in str(error)
