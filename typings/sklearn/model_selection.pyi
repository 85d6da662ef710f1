from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

class StratifiedKFold:
    def __init__(self, n_splits: int = ...) -> None: ...
    def split(self, X: Any, y: Any) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]: ...

def cross_val_score(estimator: Any, X: Any, y: Any, *, cv: int) -> npt.NDArray[np.float64]: ...
