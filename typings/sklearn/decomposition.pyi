from typing import Any

import numpy as np
import numpy.typing as npt

class PCA:
    def __init__(self, n_components: int, *, random_state: int | None = ...) -> None: ...
    def fit_transform(self, X: Any) -> npt.NDArray[np.float64]: ...

class TruncatedSVD:
    singular_values_: npt.NDArray[np.floating[Any]]

    def __init__(self, n_components: int, *, n_iter: int = ..., random_state: int | None = ...) -> None: ...
    def fit_transform(self, X: Any) -> npt.NDArray[np.floating[Any]]: ...
