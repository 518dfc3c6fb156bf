"""Results that come block by block and are kept in one piece."""

from __future__ import annotations

import numpy as np
from torch import Tensor


class Rows:
    """Rows that come block by block, in one array.

    Kept one by one, small pieces would come to lie between the large ones that are made for each block and let go, and
    leave holes in memory that grow with the cohort.
    """

    def __init__(self):
        self._n, self._rows = 0, None

    def add(self, rows: Tensor) -> None:
        """Append (B, columns) to what is there."""
        rows, end = rows.cpu().numpy(), self._n + len(rows)
        if self._rows is None or end > len(self._rows):
            larger = np.empty((2 * max(end, 256), rows.shape[1]), rows.dtype)
            if self._n:
                larger[: self._n] = self.result()
            self._rows = larger
        self._rows[self._n : end] = rows
        self._n = end

    def result(self) -> np.ndarray:
        """All rows, (N, columns): a view, and not a copy."""
        return self._rows[: self._n]
