from typing import Any

import numpy as np
import numpy.typing as npt

class PCA:
    def __init__(self, n_components: int, *, random_state: int | None = ...) -> None: ...
    def fit_transform(self, X: Any) -> npt.NDArray[np.float64]: ...

class TruncatedSVD:
    def __init__(self, n_components: int, *, random_state: int | None = ...) -> None: ...
