"""A network that plain snnTorch trains, put onto the chip's lattice, verified and exported.

    python examples/snntorch_mnist.py                                   digits of scikit-learn, under a minute
    python examples/snntorch_mnist.py --data mnist:DIR --epochs 2       MNIST, in a folder of its four IDX files

The model is that of snnTorch's tutorials: ``Linear`` and ``Leaky``, states by hand, a loop over the steps, weights of
full precision. It is trained twice, with the default reset by subtraction and with a reset to zero.
"""

import argparse
from pathlib import Path

import snntorch as snn
import torch
from snntorch import functional
from torch import nn

import bitspike
from bitspike.train.data import Encoding, load_samples

BETA = 0.95


class Net(nn.Module):
    def __init__(self, pixels, hidden, reset):
        super().__init__()
        self.fc1 = nn.Linear(pixels, hidden)
        self.lif1 = snn.Leaky(beta=BETA, reset_mechanism=reset)
        self.fc2 = nn.Linear(hidden, 10)
        self.lif2 = snn.Leaky(beta=BETA, reset_mechanism=reset)

    def forward(self, x):
        mem1 = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        spk2_rec = []
        mem2_rec = []
        for step in range(x.size(0)):
            cur1 = self.fc1(x[step])
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1)
            spk2, mem2 = self.lif2(cur2, mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec), torch.stack(mem2_rec)


def train(net, samples, arguments):
    """Cross-entropy of the spikes in every step, as in the tutorials."""
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    loss = functional.ce_rate_loss()
    for epoch in range(arguments.epochs):
        order = torch.randperm(len(samples)).numpy()
        for number, rows in enumerate(torch.as_tensor(order).split(arguments.batch)):
            batch = samples.take(rows.numpy())
            spikes = batch.encode(steps=arguments.steps, seed=epoch * 10_000 + number)
            spk_rec, _ = net(torch.as_tensor(spikes, dtype=torch.float32).transpose(0, 1))
            total = loss(spk_rec, torch.tensor(batch.labels))
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss {total.item():.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--verified", type=int, default=200, help="test samples that every engine runs")
    parser.add_argument("--out", type=Path, default=Path("snntorch-run"))
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)

    samples = load_samples(arguments.data, "train", Encoding(steps=arguments.steps))
    calibration = bitspike.load_data(arguments.data, part="validation", steps=arguments.steps).first(1000)
    test = bitspike.load_data(arguments.data, part="test", steps=arguments.steps)

    for reset in ("subtract", "zero"):
        print(f"\nreset_mechanism={reset!r}")
        net = Net(test.spikes.shape[2], arguments.hidden, reset)
        train(net, samples, arguments)
        torch.save(net.state_dict(), arguments.out / f"{reset}.pt")

        network = bitspike.from_snntorch(net, (arguments.steps, 16, test.spikes.shape[2]), name=f"snntorch_{reset}")
        print(network)
        result = bitspike.quantise(network, calibration, held_out=test)
        print(result)

        bitspike.export(result.network, arguments.out / f"{reset}.onnx")
        written = bitspike.load(arguments.out / f"{reset}.onnx")
        data = test.first(arguments.verified)
        print(bitspike.verify(result.network, data=data, engines=["reference", "onnx"], against={"file": written}))
        if reset == "zero":  # NIR has no reset by subtraction
            bitspike.export(result.network, arguments.out / f"{reset}.nir")
            print(f"{arguments.out / reset}.nir: written, read back and equal")


if __name__ == "__main__":
    main()
