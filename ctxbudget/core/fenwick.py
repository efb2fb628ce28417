"""A growing row of numbers with fast prefix sums."""

from __future__ import annotations


class Fenwick:
    """A binary indexed tree that grows at its end; every operation is O(log n).

    Source: P. Fenwick, "A new data structure for cumulative frequency tables", 1994.
    """

    def __init__(self) -> None:
        self._tree = [0]  # 1-based: node i holds the sum of the lowbit(i) numbers ending at i
        self._values: list[int] = []
        self.total = 0

    def __len__(self) -> int:
        return len(self._values)

    def append(self, value: int) -> int:
        """Add a number at the end and return its 0-based index."""
        node = len(self._values) + 1
        self._tree.append(value + self.before(node - 1) - self.before(node - (node & -node)))
        self._values.append(value)
        self.total += value
        return node - 1

    def set(self, index: int, value: int) -> None:
        """Change the number at a 0-based index."""
        change = value - self._values[index]
        self._values[index] = value
        self.total += change
        node = index + 1
        while node < len(self._tree):
            self._tree[node] += change
            node += node & -node

    def before(self, index: int) -> int:
        """Return the sum of the numbers ahead of a 0-based index."""
        found = 0
        while index > 0:
            found += self._tree[index]
            index -= index & -index
        return found
