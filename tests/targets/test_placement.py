"""Placement against brute force on small meshes, and its sums against plain loops."""

from itertools import permutations

import numpy as np
import pytest

from bitspike.errors import UsageError
from bitspike.targets.mesh import Mesh
from bitspike.targets.placement import place


def slow_cost(messages, mesh, places, weights):
    """Weighted hops in plain loops."""
    total = 0.0
    for i, row in enumerate(messages):
        for j, count in enumerate(row):
            tiles = [int(places[k]) // mesh.cores_per_tile for k in (i, j)]
            (row_i, column_i), (row_j, column_j) = (divmod(tile, mesh.columns) for tile in tiles)
            total += count * (weights[0] * abs(column_i - column_j) + weights[1] * abs(row_i - row_j))
    return total


def messages_between(cores, seed):
    random = np.random.default_rng(seed)
    return random.integers(0, 100, (cores, cores)) * (random.random((cores, cores)) < 0.5)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("mesh", "cores"),
    [(Mesh(rows=2, columns=3), 6), (Mesh(rows=2, columns=3), 4), (Mesh(rows=1, columns=3, cores_per_tile=2), 5)],
)
def test_the_optimum_of_small_meshes_is_found(mesh, cores, seed):
    messages, weights = messages_between(cores, seed), (3.0, 4.0)
    found = place(messages, mesh, weights=weights, seed=seed)
    every = [slow_cost(messages, mesh, p, weights) for p in permutations(range(mesh.places), cores)]
    assert found.cost.placed == slow_cost(messages, mesh, found.places, weights)
    assert found.cost.placed == min(every)
    assert abs(found.cost.random - np.mean(every)) < 5 * found.cost.random_sd / np.sqrt(1000)
    assert found.cost.row_major == slow_cost(messages, mesh, range(cores), weights)
    assert found.spike_hops.placed == slow_cost(messages, mesh, found.places, (1, 1))
    assert found.spike_hops.row_major == slow_cost(messages, mesh, range(cores), (1, 1))


def test_the_same_seed_gives_the_same_placement():
    mesh, messages = Mesh(rows=4, columns=8, cores_per_tile=4), messages_between(40, 0)
    first, again = (place(messages, mesh, seed=3, starts=3) for _ in range(2))
    assert np.array_equal(first.places, again.places)
    assert len(set(first.places.tolist())) == 40
    assert first.as_json() == again.as_json()
    assert first.cost.placed < first.cost.row_major
    assert first.cost.placed < first.cost.random


def test_a_chain_lies_side_by_side():
    messages = np.diag([50, 50, 50], 1)
    assert place(messages, Mesh(rows=2, columns=4)).cost.placed == 150
    within = place(messages, Mesh(rows=2, columns=4, cores_per_tile=4))
    assert (within.cost.placed, within.tiles) == (0, 1)


def test_without_messages_the_cores_keep_their_order():
    found = place(np.diag([7, 7, 7]), Mesh(rows=2, columns=2))
    assert found.places.tolist() == [0, 1, 2]
    assert (found.cost.placed, found.cost.row_major, found.cost.random) == (0, 0, 0)


def test_hops_follow_the_weights():
    messages = np.array([[0, 10], [0, 0]])
    across = place(messages, Mesh(rows=3, columns=3), weights=(1.0, 5.0))
    down = place(messages, Mesh(rows=3, columns=3), weights=(5.0, 1.0))
    assert [int(h[0, 1]) for h in across.hops()] == [1, 0]
    assert [int(h[0, 1]) for h in down.hops()] == [0, 1]


def test_what_is_printed_is_of_one_inference():
    messages = np.array([[0, 10], [0, 0]])
    found = place(messages, Mesh(rows=1, columns=2), weights=(3.0, 4.0), seed=5)
    assert found.told(4) == (
        "placement on 1x2 cores, seed 5, hops weighed 3 to 4: 2.5 spike-hops an inference; row-major 2.5, random 2.5 "
        "(mean of 1000, sd 0.0)"
    )
    assert found.as_json()["cost"] == {"placed": 30.0, "row_major": 30.0, "random": 30.0, "random_sd": 0.0}
    assert "weighed" not in place(messages, Mesh(rows=1, columns=2)).told(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"messages": np.ones((5, 5))}, "5 cores on a mesh of 2x2 cores; expected 4 or fewer"),
        ({"messages": np.ones((2, 3))}, r"messages of shape \(2, 3\); expected \(cores, cores\), 0 or more"),
        ({"messages": -np.ones((2, 2))}, r"messages of shape \(2, 2\); expected \(cores, cores\), 0 or more"),
        ({"messages": np.ones((2, 2)), "weights": (1.0, -1.0)}, r"weights \(1.0, -1.0\), starts 20; expected"),
        ({"messages": np.ones((2, 2)), "starts": 0}, "starts 0; expected weights of 0 or more and a start"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        place(arguments.pop("messages"), Mesh(rows=2, columns=2), **arguments)


def test_a_mesh_has_rows_columns_and_cores():
    mesh = Mesh(rows=4, columns=8, cores_per_tile=4)
    assert (mesh.tiles, mesh.places) == (32, 128)
    assert [int(x[0]) for x in mesh.position([127])] == [3, 7]
    assert str(mesh) == "4x8 tiles of 4 cores"
    with pytest.raises(UsageError, match="mesh 0x3 of 1 cores; expected 1 or more each"):
        Mesh(rows=0, columns=3)
