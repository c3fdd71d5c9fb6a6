"""Random recipes of every kind of layer, estimator, posterior and rule, with data of their own, by seed.

Values are chosen from a few, most of them legal together: more than half of the recipes can be trained, and the others
are refused by name, which is to be tested too.
"""

import numpy as np
from dataset_files import mnist_folder


def random_recipe(seed, folder):
    """The table of a recipe, as TOML would give it; its data are written into `folder`."""
    rng = np.random.default_rng(seed)
    data, classes, polar = _data(rng, folder, seed)
    readout = _one(rng, ["spike_count", "membrane_sum", "membrane_last"])
    table = {"name": "random", "seed": int(rng.integers(100)), "data": data}
    table["network"] = {"temperature": _one(rng, [1.0, 5.0, 50.0]), "readout": readout}
    table["network"]["layers"] = _layers(rng, classes, readout)
    _some(rng, table["network"], bias=[False, True])
    if rng.random() < 0.3:
        _moves(rng, data, classes, polar=polar)
    table["training"] = {"epochs": int(rng.integers(1, 4)), "batch": _one(rng, [4, 7, 16, 64])}
    _some(rng, table["training"], rate=[0.01, 0.1, 1.0], spread=[0.1, 0.5, 2.0])
    if table["network"].get("bias", True):
        _some(rng, table["network"], bias_exponent=[0, 3, 6, 7])
        _some(rng, table["training"], bias_rate=[0.1, 1.0, 0.0])
    _some(rng, table["training"], sharpness=[1.0, 10.0, 100.0], schedule=["sqrt", "linear"], members=[1, 3])
    _some(rng, table["training"], precision=["float32", "bfloat16"], validate_every=[1, 2], keep=["last", "best"])
    if rng.random() < 0.25:
        _rule(rng, table)
        return table
    if rng.random() < 0.6:
        table["estimator"] = _estimator(rng)
    if rng.random() < 0.6:
        table["posterior"] = _posterior(rng, table["training"])
    if rng.random() < 0.4 and table["training"]["epochs"] > 1:
        finish = table["finish"] = {"epochs": int(rng.integers(1, table["training"]["epochs"]))}
        _some(rng, finish, rate=[0.01], width=[1.0, 8.0], average=[0.1, 1.0], sharpness=[1.0, 50.0])
        if rng.random() < 0.4 and table.get("posterior", {"family": "bernoulli"})["family"].startswith("bernoulli"):
            table["distil"] = {"teacher": "posterior", "weight": 0.5}
    return table


def _one(rng, values):
    return values[int(rng.integers(len(values)))]


def _some(rng, table, **choices):
    """About half of the keys, each with one of its values."""
    for key, values in choices.items():
        if rng.random() < 0.5:
            table[key] = _one(rng, values)


def _data(rng, folder, seed):
    """A few samples: the table, how many classes there are, and whether backwards in time is a thing of them."""
    form = _one(rng, ["dense", "dense", "events", "images"])
    table, path = {"steps": int(rng.integers(1, 7))}, folder / f"{form}-{seed}.npz"
    _some(rng, table, fold=[1, 2])
    if form == "images":
        mnist_folder(path)
        _some(rng, table, encoder=["rate", "latency", "burst", "direct", "current"], seed=[5])
        return table | {"name": f"mnist:{path}"}, 10, False
    samples, classes = int(rng.integers(28, 40)), int(rng.integers(2, 5))
    shape = (int(rng.integers(1, 4)), int(rng.integers(4, 8)), int(rng.integers(4, 8)))
    rows = {"labels": np.arange(samples) % classes, "parts": np.repeat([0, 1, 2], [samples - 16, 8, 8])}
    if form == "dense":
        steps = table["steps"] * table.get("fold", 1)
        spikes = rng.random((samples, steps, int(np.prod(shape)))) < _one(rng, [0.05, 0.3, 0.7])
        np.savez(path, spikes=spikes, shape=np.array(shape), **rows)
    else:
        counts = rng.integers(0, 200, samples)
        offsets = np.concatenate([[0], counts.cumsum()])
        places = {key: rng.integers(0, size, offsets[-1]) for key, size in zip("pyx", shape, strict=True)}
        np.savez(path, t=rng.integers(0, 9000, offsets[-1]), offsets=offsets, shape=np.array(shape), **places, **rows)
        _some(rng, table, pool=[1, 2], least=[1, 2], duration_ms=[5.0, 20.0])
        if table.get("fold", 1) > 1:
            _some(rng, table, motion=[0, 1])
    return table | {"name": f"events:{path}"}, classes, shape[0] == 2


def _moves(rng, data, classes, *, polar):
    same = [list(range(classes))]
    _some(rng, data, drop=[0.1], delay=[1.0], shift=[1.0], turn=[10.0], zoom=[0.1], mirror=same)
    if not data["name"].startswith("mnist"):
        _some(rng, data, stretch=[0.2])
    if polar:
        _some(rng, data, backwards=same)


def _layers(rng, classes, readout):
    found, names, spatial = [], ["input"], rng.random() < 0.7
    for at in range(int(rng.integers(0, 4))):
        kinds = ["conv", "conv", "pool", "dense", *(["residual"] if found else [])]
        kind = _one(rng, kinds if spatial else ["dense", "recurrent"])
        spatial = spatial and kind != "dense"
        layer = {"kind": kind} | _size(rng, kind)
        if rng.random() < 0.15 and kind not in ("recurrent", "residual"):
            layer |= {"spike": "graded", "shift": int(rng.integers(0, 2))}
        if rng.random() < 0.15:
            layer["sources"] = sorted({_one(rng, names), _one(rng, names)})
        if kind != "residual":
            layer["name"] = f"layer{at}"
            if rng.random() < 0.15 and len(names) > 1:
                layer["shortcuts"] = [_one(rng, names[1:])]
            names.append(layer["name"])
        found.append(layer)
    last = {"kind": "dense", "neurons": classes}
    if readout == "spike_count":
        last |= {"kind": _one(rng, ["dense", "recurrent"]), "vth": _one(rng, [0, 1, 3])}
    _some(rng, last, dv=[0, 1024, 4096], du=[4096, 1000], reset=["zero", "subtract"])
    return [*found, last]


def _size(rng, kind):
    """The keys of a hidden layer's kind, and of its neurons."""
    layer = {"vth": _one(rng, [1, 2, 3, 5, 9])}
    if kind in ("dense", "recurrent"):
        layer["neurons"] = int(rng.integers(1, 20))
    if kind in ("conv", "residual"):
        layer["channels"] = int(rng.integers(1, 6))
    if kind == "conv":
        _some(rng, layer, kernel=[1, 2, 3], stride=[1, 2], padding=[0, 1, 2])
    if kind == "pool":
        _some(rng, layer, kernel=[1, 2], stride=[1, 2], exact=[True, False])
    if kind == "residual":
        layer["blocks"] = 1
        _some(rng, layer, rate=[0.1, 0.3])
        if rng.random() < 0.7:
            del layer["vth"]
    if layer.get("exact"):
        return layer | {"dv": 4096}
    _some(rng, layer, dv=[0, 1024, 4096, 2049], du=[4096, 1000, 0], reset=["zero", "subtract"])
    return layer


def _estimator(rng):
    found = {"name": _one(rng, ["iwst", "tempered", "gumbel_rao", "surrogate"])}
    noise = {"noise": ["gaussian", "logistic"]}
    if found["name"] == "iwst":
        _some(rng, found, alpha=["p", 0.5, 0.2], **noise)
    elif found["name"] == "tempered":
        _some(rng, found, temper=[0.0, 0.5, 1.0], **noise)
    elif found["name"] == "gumbel_rao":
        found["noise"] = "logistic"
        _some(rng, found, temperature=[0.0, 0.5, 1.0, 2.0])
    else:
        found["noise"] = _one(rng, ["none", "none", "gaussian"])
        _some(rng, found, surrogate=["atan", "fast_sigmoid", "sigmoid"], slope=[1.0, 4.0])
    if found.get("noise") == "none":
        _some(rng, found, width=["floor", "posterior"])
    _some(rng, found, floor=[0.1, 2.0], auxiliary=[0.0, 0.01])
    return found


def _posterior(rng, training):
    found = {"family": _one(rng, ["bernoulli", "bernoulli01", "gaussian", "latent"])}
    if found["family"] == "gaussian":
        training.pop("spread", None)
        _some(rng, found, bits=[2, 4, 8], mean=[1.0, 5.0], scale=[0.1, 1.0], scale_rate=[0.01], kl=[0.01])
    elif found["family"] == "latent":
        _some(rng, found, clip=[False])
        training.pop("sharpness", None)
    else:
        _some(rng, found, natural=[True], kl=[0.001, 1.0])
        if "kl" in found:
            _some(rng, found, prior=[0.3])
    return found


def _rule(rng, table):
    """A rule of its own, which trains a chain of layers in float32."""
    rule = table["rule"] = {"name": _one(rng, ["adam", "bisnn-st", "bisnn-bayes", "bisnn-bayes-bits"])}
    table["training"].pop("precision", None)
    for layer in table["network"]["layers"]:
        layer.pop("sources", None)
        layer.pop("shortcuts", None)
        if layer["kind"] == "recurrent" and rng.random() < 0.8:
            layer["kind"] = "dense"
    if rule["name"] == "adam":
        rule["temporal"] = _one(rng, ["through", "detached"])
    else:
        table["training"]["sharpness"] = 1.0
        rule["loss"] = _one(rng, ["global", "local"])
        _some(rng, rule, boxcar=[0.5, 2.0])
    if rule["name"] in ("bisnn-bayes", "bisnn-bayes-bits"):
        _some(rng, rule, rho=[0.0, 0.01], draw=["window", "step"], prior=[0.3])
    if rule["name"] == "bisnn-bayes":
        _some(rng, rule, tau=[0.3])
    if rule["name"] == "bisnn-bayes-bits":
        _some(rng, rule, alpha=["p", 0.5])
    if rule.get("loss") == "local":
        _some(rng, rule, update=["window", "step"], burn_in=[0, 1])
    elif rng.random() < 0.3:
        table["distil"] = {"teacher": "self", "weight": 0.5}
