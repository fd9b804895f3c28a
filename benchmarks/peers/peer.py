"""What the contestants that are written in Python share: the file with a workload's weights and data, and the line protocol.

A contestant is an object with
    begin()                     goes back to the first weights
    losses(steps)               begins anew, makes that many steps, returns the loss before each
    times(warm, groups, steps)  goes on: `warm` steps that do not count, then `groups` groups of `steps` steps; returns the nanoseconds
                                of a step in each group
and is served by serve(). README.md has the protocol.
"""
import json
import sys
import time

import numpy

TYPES = {"F32": numpy.float32, "I32": numpy.int32}


class Workload:
    """A workload as HpcNet wrote it: texts (`metadata`), and arrays by name. Weights are [in, out]."""

    def __init__(self, path):
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
            body = file.read()
        self.metadata = header.pop("__metadata__")
        self.arrays = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            array = numpy.frombuffer(body, TYPES[entry["dtype"]], (end - begin) // 4, begin)
            self.arrays[name] = array.reshape(entry["shape"])

    def __getitem__(self, name):
        return self.metadata[name]

    @property
    def kind(self):
        """training, epochs, inference or recurrent."""
        return self["kind"]

    @property
    def batch(self):
        """Rows of a step; of a mini-batch, for a step that is an epoch."""
        return int(self.metadata.get("batch", self["rows"]))

    @property
    def parameters(self):
        """[(weight [in, out], bias [out])] of the layers of a chain, or the arrays of a recurrent layer by their PyTorch names."""
        names = [name for name in self.arrays if not name.startswith("data.")]
        if self.kind == "recurrent":
            return {name.rsplit(".", 1)[-1]: self.arrays[name] for name in names}
        layers = []
        for name in names:
            if name.endswith(".weight"):
                layers.append((self.arrays[name], self.arrays[name[: -len("weight")] + "bias"].reshape(-1)))
        widths = [int(width) for width in self["widths"].split()]
        if [weight.shape for weight, _ in layers] != list(zip(widths, widths[1:])):
            raise ValueError(f"the layers of {self['workload']} are not those of {widths}")
        return layers

    @property
    def features(self):
        return self.arrays["data.features"]

    @property
    def labels(self):
        """[rows], or None where there are targets."""
        return self.arrays.get("data.labels")

    @property
    def targets(self):
        return self.arrays["data.targets"]

    @property
    def order(self):
        """[epochs, rows]: the order of the rows in each epoch."""
        return self.arrays["data.order"]


def time_groups(step, groups, steps):
    """Nanoseconds of step(), `steps` times in a row, `groups` times."""
    times = []
    for _ in range(groups):
        start = time.perf_counter_ns()
        for _ in range(steps):
            step()
        times.append((time.perf_counter_ns() - start) / steps)
    return times


def fastest(variants, seconds=0.15):
    """The name of the fastest of {name: step}, each tried for so long, and at least twice."""
    best = {}
    for name, step in variants.items():
        step()
        spent = []
        begin = time.perf_counter()
        while len(spent) < 2 or time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            step()
            spent.append(time.perf_counter() - start)
        best[name] = min(spent)
    return min(best, key=best.get)


def serve(make, path, threads):
    """Answers until `quit`. make(workload, threads) returns (contestant, text that says what it is)."""
    contestant, text = make(Workload(path), threads)
    print("ready " + " ".join(text.split()), flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "losses":
            print("losses", *(repr(float(loss)) for loss in contestant.losses(int(arguments[0]))), flush=True)
        elif command == "run":
            print("run", *(f"{time:.1f}" for time in contestant.times(*map(int, arguments))), flush=True)
        elif command == "begin":
            contestant.begin()
            print("begin", flush=True)
        elif command == "quit":
            return
        else:
            raise ValueError(f"{command} is no command")
