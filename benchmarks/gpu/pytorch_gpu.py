"""PyTorch on a GPU, one process for many ways of doing one thing: python3 pytorch_gpu.py FILE cuda|cpu

FILE is a workload that HpcNet exported, or `-` where products are asked for. Answers lines as every contestant does (peers/README.md), each
with the way as its last word; a way is made when it is first named:

  gemm-MxNxK-nn|nt|tn   torch.mm, by cuBLAS
  eager                 modules, Adam over all parameters at once (the faster of foreach and fused)
  graphed               the whole step, from the gather to the update, captured once as a CUDA graph and replayed
  compiled              torch.compile of forward and loss, and so of backward; Adam as in eager
  ...-tf32              any of them with TensorFloat-32 in matrix products

  losses N WAY, run W G S WAY    as in peers/README.md
  close WAY                      frees it: "close"
  anything that fails            "failed", and the reason on standard error

Data are on the GPU from the beginning, as they are in HpcNet's fit; mini-batches are gathered there in the same order. Nothing is
fetched while the time is taken, and each group ends with a synchronization. `run` gives nanoseconds of an epoch, or of a product.
"""
import gc
import os
import sys

import torch
from torch import nn
from torch.nn import functional

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), folder) for folder in ("peers", "../peers")]
import peer  # noqa: E402


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def time_groups(device, call, groups, steps):
    def group():
        for _ in range(steps):
            call()
        synchronize(device)

    synchronize(device)
    return [time / steps for time in peer.time_groups(group, groups, 1)]


class Product:
    def __init__(self, name, device):
        _, extents, form = name.split("-")
        m, n, k = (int(extent) for extent in extents.split("x"))
        generator = torch.Generator().manual_seed(1)
        a = torch.randn((k, m) if form == "tn" else (m, k), generator=generator).to(device)
        b = torch.randn((n, k) if form == "nt" else (k, n), generator=generator).to(device)
        self.device = device
        self.a, self.b = a.t() if form == "tn" else a, b.t() if form == "nt" else b
        self.c = torch.empty((m, n), device=device)

    def begin(self):
        pass

    def losses(self, steps):
        return []

    def times(self, warm, groups, steps):
        for _ in range(warm):
            torch.mm(self.a, self.b, out=self.c)
        return time_groups(self.device, lambda: torch.mm(self.a, self.b, out=self.c), groups, steps)


class Epochs:
    """Fits as HpcNet makes them: the same first weights, data, order and mini-batches."""

    def __init__(self, workload, way, device, fused):
        self.workload, self.way, self.device, self.fused = workload, way, device, fused
        self.x = self.put(workload.features)
        self.y = self.put(workload.labels).long()
        self.batch = workload.batch
        if len(self.x) % self.batch:
            raise ValueError("the last mini-batch is smaller: a captured graph has one size")
        self.orders = self.put(workload.order).long()
        self.batches = len(self.x) // self.batch
        if way != "compiled":  # which takes its time, and is begun anew before the first step anyway
            self.begin()

    def put(self, array):
        return torch.from_numpy(array.copy()).to(self.device)

    def begin(self):
        layers = []
        parameters = self.workload.parameters
        for i, (weight, bias) in enumerate(parameters):
            linear = nn.Linear(*weight.shape, device=self.device)
            with torch.no_grad():
                linear.weight.copy_(self.put(weight.T))
                linear.bias.copy_(self.put(bias))
            layers += [linear] if i == len(parameters) - 1 else [linear, nn.ReLU()]
        self.model = nn.Sequential(*layers)
        options = {"lr": float(self.workload["learningRate"])}
        options.update({"fused": True} if self.fused else {"foreach": True})
        if self.way == "graphed":
            options["capturable"] = True
        self.optimizer = torch.optim.Adam(self.model.parameters(), **options)
        self.loss = lambda x, y: functional.cross_entropy(self.model(x), y)
        if self.way == "compiled":
            self.loss = torch.compile(self.loss)
        self.total = torch.zeros((), device=self.device)
        self.epoch = 0
        if self.way == "graphed":
            self.capture()

    def step(self, index):
        """One update; the loss stays on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.x[index], self.y[index])
        loss.backward()
        self.optimizer.step()
        self.total += loss.detach()

    def capture(self):
        """Runs some steps first, as PyTorch asks for, and takes back what they changed."""
        self.index = torch.arange(self.batch, device=self.device)
        first = [parameter.detach().clone() for parameter in self.model.parameters()]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step(self.index)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(self.graph):
            self.step(self.index)
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), first):
                parameter.copy_(value)
            for state in self.optimizer.state.values():
                for value in state.values():
                    value.zero_()
            self.total.zero_()

    def run_epoch(self):
        order = self.orders[self.epoch % len(self.orders)]
        self.epoch += 1
        self.total.zero_()
        for index in order.split(self.batch):
            if self.way == "graphed":
                self.index.copy_(index)
                self.graph.replay()
            else:
                self.step(index)

    def losses(self, steps):
        self.begin()
        losses = []
        for _ in range(steps):
            self.run_epoch()
            losses.append(self.total.item() / self.batches)
        return losses

    def times(self, warm, groups, steps):
        for _ in range(warm):
            self.run_epoch()
        return time_groups(self.device, self.run_epoch, groups, steps)


def make_epochs(workload, way, device):
    if way != "eager" or device != "cuda":
        return Epochs(workload, way, device, fused=device == "cuda")
    kinds = {name: Epochs(workload, way, device, fused) for name, fused in (("foreach", False), ("fused", True))}

    def epoch_of(contestant):
        def epoch():
            contestant.run_epoch()
            synchronize(device)
        return epoch

    return kinds[peer.fastest({name: epoch_of(contestant) for name, contestant in kinds.items()})]


def make(workload, way, device):
    """A contestant by the name of its way without TF32."""
    if way.startswith("gemm-"):
        return Product(way, device)
    if way == "graphed" and device != "cuda":
        raise ValueError("CUDA graphs are of GPUs")
    if way == "compiled" and not hasattr(torch, "compile"):
        raise ValueError(f"PyTorch {torch.__version__} has no torch.compile")
    return make_epochs(workload, way, device)


def main(path, device):
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch sees no CUDA device")
    workload = None if path == "-" else peer.Workload(path)
    print("ready PyTorch", torch.__version__, torch.cuda.get_device_name() if device == "cuda" else "on the CPU", flush=True)
    contestants = {}
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "quit":
            return
        way = arguments.pop()
        try:
            if command == "close":
                contestants.pop(way, None)
                gc.collect()
                if device == "cuda":
                    torch.cuda.empty_cache()
                print("close", flush=True)
                continue
            torch.set_float32_matmul_precision("high" if way.endswith("-tf32") else "highest")
            if way not in contestants:
                contestants[way] = make(workload, way[: -len("-tf32")] if way.endswith("-tf32") else way, device)
            contestant = contestants[way]
            if command == "losses":
                print("losses", *(repr(float(loss)) for loss in contestant.losses(int(arguments[0]))), flush=True)
            elif command == "run":
                print("run", *(f"{time:.1f}" for time in contestant.times(*map(int, arguments))), flush=True)
            else:
                raise ValueError(f"{command} is no command")
        except Exception as error:  # one way that fails is not the end of the others
            print(f"{way}: {type(error).__name__}: {error}".splitlines()[0], file=sys.stderr, flush=True)
            contestants.pop(way, None)
            print("failed", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
