"""The mesh of a chip: where its cores sit, and how many hops a message takes from one to another.

Cores share a router in groups, the tiles, which form a grid. A message goes along the rows and then along the columns
(or the other way round), so that the hops between two tiles are the differences of their columns (east-west) and of
their rows (north-south). Within a tile it passes the router and hops nowhere.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mesh:
    """Tiles in rows and columns; places for cores are numbered tile by tile, and tiles row by row.

    Attributes:
        rows, columns: of tiles.
        cores_per_tile: cores that share a router.
    """

    rows: int
    columns: int
    cores_per_tile: int = 1

    def __post_init__(self) -> None:
        if min(self.rows, self.columns, self.cores_per_tile) < 1:
            raise UsageError(f"mesh {self.rows}x{self.columns} of {self.cores_per_tile} cores; expected 1 or more each")

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return self.rows * self.columns

    @property
    def places(self) -> int:
        """Number of cores that the mesh has room for."""
        return self.tiles * self.cores_per_tile

    def tile(self, places: npt.ArrayLike) -> Integers:
        """The tile of each place."""
        return np.asarray(places, np.int64) // self.cores_per_tile

    def position(self, places: npt.ArrayLike) -> tuple[Integers, Integers]:
        """The row and the column of each place's tile."""
        row, column = np.divmod(self.tile(places), self.columns)
        return row, column

    def hops(self, places: npt.ArrayLike) -> tuple[Integers, Integers]:
        """East-west and north-south hops from each of `places` to each, two arrays (places, places)."""
        row, column = self.position(places)
        return np.abs(column[:, None] - column), np.abs(row[:, None] - row)

    def __str__(self) -> str:
        tile = f" tiles of {self.cores_per_tile} cores" if self.cores_per_tile > 1 else " cores"
        return f"{self.rows}x{self.columns}{tile}"
