from typing import Any

import numpy as np
import numpy.typing as npt

class KMeans:
    def __init__(self, n_clusters: int, *, random_state: int | None = ...) -> None: ...
    def fit_predict(self, X: Any) -> npt.NDArray[np.int32]: ...
