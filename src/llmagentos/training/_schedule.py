"""The learning rate: a linear warm-up, then a linear decay to zero."""


def learning_rate_at(step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
    """Learning rate of one step.

    Args:
        step: from 0 to total_steps - 1.
        peak: > 0.
        warmup_steps: steps to reach the peak; at most a tenth of the run is used.
        total_steps: > 0.

    Returns:
        In (0, peak].

    Example:
        >>> [learning_rate_at(s, peak=1.0, warmup_steps=2, total_steps=20) for s in (0, 1, 2, 11, 19)]
        [0.5, 1.0, 1.0, 0.5, 0.05555555555555555]
    """
    warmup = min(warmup_steps, total_steps // 10)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (total_steps - step) / (total_steps - warmup)
