"""PyTorch: python3 pytorch_peer.py WORKLOAD.safetensors THREADS

Told what a good user would tell it: the threads, denormals flushed, gradients set to None, Adam over all parameters at once
(foreach), inference mode. Where there are several ways (foreach or not; plain modules, traced, traced and frozen, optimized for
inference), each is tried for a moment and the fastest one runs. Losses are not fetched while the time is taken.
"""
import sys

import numpy
import torch
from torch import nn
from torch.nn import functional

import peer

ACTIVATIONS = {"ReLU": nn.ReLU, "Tanh": nn.Tanh, "Sigmoid": nn.Sigmoid, "Linear": None}


def tensor(array):
    return torch.from_numpy(numpy.array(array))


def activation_of(name):
    known = {key.lower(): value for key, value in ACTIVATIONS.items()}
    return known[name.lower()]


def chain(workload):
    layers = []
    parameters = workload.parameters
    for i, (weight, bias) in enumerate(parameters):
        linear = nn.Linear(*weight.shape)
        with torch.no_grad():
            linear.weight.copy_(tensor(weight.T))
            linear.bias.copy_(tensor(bias))
        layers.append(linear)
        activation = activation_of(workload["output"] if i == len(parameters) - 1 else workload["hidden"])
        if activation is not None:
            layers.append(activation())
    return nn.Sequential(*layers)


class Training:
    """Steps over mini-batches in order; an epoch goes through the rows in the order that HpcNet goes."""

    def __init__(self, workload, variant):
        self.foreach, self.traced = variant
        self.workload = workload
        self.x = tensor(workload.features)
        self.y = tensor(workload.labels).long() if workload.labels is not None else tensor(workload.targets)
        self.epochs = workload.kind == "epochs"
        if self.epochs:
            self.orders = [tensor(order).long() for order in workload.order]
        else:
            self.batches = list(zip(self.x.split(workload.batch), self.y.split(workload.batch)))
        self.loss = functional.cross_entropy if workload.labels is not None else functional.mse_loss
        self.clip = [float(norm) for norm in workload["clipByNorm"].split()]
        self.begin()

    def begin(self):
        self.model = chain(self.workload)
        self.parameters = list(self.model.parameters())
        rate = float(self.workload["learningRate"])
        rule = {"Adam": torch.optim.Adam, "Sgd": torch.optim.SGD}[self.workload["optimizer"]]
        self.optimizer = rule(self.parameters, lr=rate, foreach=self.foreach)
        self.forward = torch.jit.trace(self.model, self.x[: self.workload.batch]) if self.traced else self.model
        self.next = 0

    def update(self, x, y):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.forward(x), y)
        loss.backward()
        for norm in self.clip:
            nn.utils.clip_grad_norm_(self.parameters, norm)
        self.optimizer.step()
        return loss

    def step(self):
        """One step; its loss, not yet fetched: for an epoch those of its mini-batches."""
        if not self.epochs:
            x, y = self.batches[self.next]
            self.next = (self.next + 1) % len(self.batches)
            return self.update(x, y)
        order = self.orders[self.next]
        self.next = (self.next + 1) % len(self.orders)
        batch = self.workload.batch
        if batch >= len(order):
            return [(self.update(self.x[order], self.y[order]), len(order))]
        return [(self.update(x, y), len(y)) for x, y in zip(self.x[order].split(batch), self.y[order].split(batch))]

    def losses(self, steps):
        self.begin()
        losses = []
        for _ in range(steps):
            loss = self.step()
            if self.epochs:
                loss = sum(float(part) * rows for part, rows in loss) / len(self.x)
            losses.append(float(loss))
        return losses

    def times(self, warm, groups, steps):
        for _ in range(warm):
            self.step()
        return peer.time_groups(self.step, groups, steps)


class Inference:
    def __init__(self, workload):
        self.x, self.y = tensor(workload.features), tensor(workload.labels).long()
        model = chain(workload).eval()
        with torch.inference_mode():
            self.ways = {"modules": model}
            for name, make in [
                ("traced and frozen", lambda: torch.jit.freeze(torch.jit.trace(model, self.x))),
                ("optimized for inference", lambda: torch.jit.optimize_for_inference(torch.jit.trace(model, self.x))),
            ]:
                made = make()
                for _ in range(5):
                    made(self.x)
                self.ways[name] = made
            self.way = peer.fastest({name: lambda way=way: way(self.x) for name, way in self.ways.items()})
        self.forward = self.ways[self.way]

    def begin(self):
        pass

    def losses(self, steps):
        with torch.inference_mode():
            return [functional.cross_entropy(self.forward(self.x), self.y).item()] * steps

    def times(self, warm, groups, steps):
        with torch.inference_mode():
            for _ in range(warm):
                self.forward(self.x)
            return peer.time_groups(lambda: self.forward(self.x), groups, steps)


class Recurrent:
    """Forward and backward over all steps; gradients of the parameters, none of the input."""

    def __init__(self, workload):
        inputs, units, steps = (int(workload[name]) for name in ("inputs", "units", "steps"))
        self.model = nn.LSTM(inputs, units, batch_first=True)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                given = workload.parameters[name]
                parameter.copy_(tensor(given.T if name.startswith("weight") else given.reshape(-1)))
        rows = workload.batch
        self.x = tensor(workload.features).reshape(rows, steps, inputs)
        self.y = tensor(workload.targets).reshape(rows, steps, units)

    def begin(self):
        pass

    def step(self):
        for parameter in self.model.parameters():
            parameter.grad = None
        loss = functional.mse_loss(self.model(self.x)[0], self.y)
        loss.backward()
        return loss

    def losses(self, steps):
        return [self.step().item() for _ in range(steps)]

    def times(self, warm, groups, steps):
        for _ in range(warm):
            self.step()
        return peer.time_groups(self.step, groups, steps)


def make(workload, threads):
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    torch.set_flush_denormal(True)
    text = f"PyTorch {torch.__version__}"
    if workload.kind == "inference":
        contestant = Inference(workload)
        return contestant, f"{text}, {contestant.way}"
    if workload.kind == "recurrent":
        return Recurrent(workload), text
    variants = {}
    large = float(workload["flops"]) > 1e10  # a step takes about a second: only what was found to be faster there
    for foreach in (True,) if large else (True, False):
        for traced in (False,) if large else (True, False):
            name = f"{'foreach' if foreach else 'plain'} optimizer, {'traced' if traced else 'modules'}"
            variants[name] = Training(workload, (foreach, traced))
    name = peer.fastest({name: variant.step for name, variant in variants.items()})
    return variants[name], f"{text}, {name}"


if __name__ == "__main__":
    peer.serve(make, sys.argv[1], int(sys.argv[2]))
