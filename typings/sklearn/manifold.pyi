from typing import Any

import numpy as np
import numpy.typing as npt

class TSNE:
    def __init__(
        self,
        n_components: int = ...,
        *,
        perplexity: float = ...,
        init: str = ...,
        max_iter: int = ...,
        random_state: int | None = ...,
    ) -> None: ...
    def fit_transform(self, X: Any) -> npt.NDArray[np.float32]: ...
