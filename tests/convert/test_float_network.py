"""The float network: what is legal, and what its errors say."""

import numpy as np
import pytest

from bitspike.convert.floating.network import Edge, FloatNetwork
from bitspike.convert.floating.nodes import Affine, Convolution, FloatInput, Neurons, Pool
from bitspike.errors import NetworkError, UsageError


def small(**changes):
    fields = {
        "name": "small",
        "nodes": (
            FloatInput(name="input", extents=(2,)),
            Affine(name="fc", weight=np.ones((3, 2))),
            Neurons(name="lif", extents=(3,), beta=0.9),
        ),
        "edges": (
            Edge(source="input", target="fc"),
            Edge(source="fc", target="lif"),
            Edge(source="lif", target="lif", delay=1),
        ),
        "outputs": ("lif",),
    }
    return FloatNetwork(**(fields | changes))


def test_prints_one_line_a_node():
    assert str(small()).splitlines() == [
        "float network small dt=0 s",
        "input   input shape=2",
        "affine  fc shape=3 <- input",
        "neurons lif shape=3 <- fc + lif[t-1]",
        "outputs lif",
    ]


def test_equality_is_by_content():
    assert small() == small()
    other = (*small().nodes[:2], Neurons(name="lif", extents=(3,), beta=0.8))
    assert small(nodes=other) != small()


def test_parameters_are_spread_over_the_neurons():
    lif = Neurons(name="lif", extents=(2, 2), beta=0.5, threshold=np.arange(4.0).reshape(2, 2))
    assert lif.beta.tolist() == [0.5] * 4
    assert lif.threshold.tolist() == [0, 1, 2, 3]
    with pytest.raises(UsageError, match=r"node lif: beta of shape \(3,\); expected \(4,\)"):
        Neurons(name="lif", extents=(2, 2), beta=[0.1, 0.2, 0.3])


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(UsageError, match="node lif: threshold of type float64; expected finite numbers"):
        Neurons(name="lif", extents=(1,), beta=0.5, threshold=np.nan)


def test_windows_have_the_shape_of_torch():
    conv = Convolution(
        name="conv", source_shape=(2, 7, 9), weight=np.zeros((4, 2, 3, 5)), stride=(2, 1), padding=(1, 0)
    )
    assert conv.shape == (4, 4, 5)
    assert Pool(name="pool", source_shape=(4, 5, 5), window=(2, 2), stride=(2, 2)).shape == (4, 2, 2)
    with pytest.raises(UsageError, match="node pool: a window of"):
        Pool(name="pool", source_shape=(4, 1, 5), window=(2, 2), stride=(2, 2))


@pytest.mark.parametrize(
    ("edges", "fault"),
    [
        ((Edge(source="input", target="lif"),), "edge input -> lif: 2 numbers into 3"),
        ((Edge(source="lif", target="input", delay=1),), "edge lif -> input: an input cannot be a target"),
        ((Edge(source="lif", target="lif"),), "edge lif -> lif: delay 0 against the order of the nodes"),
        ((Edge(source="fc", target="out"),), "edge fc -> out: no node 'out'"),
    ],
)
def test_faults_name_the_edge(edges, fault):
    with pytest.raises(NetworkError) as told:
        small(edges=edges)
    assert fault in str(told.value)
