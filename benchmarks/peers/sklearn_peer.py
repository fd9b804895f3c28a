"""scikit-learn's MLPClassifier: python3 sklearn_peer.py WORKLOAD.safetensors THREADS

It has softmax classifiers with Adam and no regularization (alpha=0). Weights are put into coefs_ and intercepts_ after a first call
has made them. Several mini-batches are one partial_fit, in order (shuffle=False), so that its checks of the data are done once
for all of them; an epoch is one partial_fit over the rows in HpcNet's order. It uses the threads of NumPy's BLAS library.
"""
import sys
import warnings

import numpy
import sklearn
from sklearn.neural_network import MLPClassifier

import peer

# It adds epsilon to the root of the uncorrected moment: the others' 1e-8 is 1e-8 sqrt(1 - 0.999^t) there, and this in the first steps.
EPSILON = 5e-10


class Training:
    def __init__(self, workload):
        self.workload = workload
        self.x, self.y = workload.features, workload.labels
        self.batch = workload.batch
        self.batches = len(self.x) // self.batch
        self.epochs = workload.kind == "epochs"
        self.classes = numpy.arange(workload.parameters[-1][1].size)

        widths = tuple(int(width) for width in workload["widths"].split()[1:-1])
        self.model = MLPClassifier(
            hidden_layer_sizes=widths, activation="relu", solver="adam", alpha=0.0, epsilon=EPSILON, batch_size=self.batch, shuffle=False,
            learning_rate_init=float(workload["learningRate"]) if "learningRate" in workload.metadata else 1e-3)
        self.model.partial_fit(self.x[: self.batch], self.y[: self.batch], classes=self.classes)
        self.begin()

    def begin(self):
        for i, (weight, bias) in enumerate(self.workload.parameters):
            self.model.coefs_[i][...] = weight
            self.model.intercepts_[i][...] = bias
        # The next call makes moments of its own.
        if hasattr(self.model, "_optimizer"):
            del self.model._optimizer
        self.next = 0

    def steps(self, count):
        """So many steps: as few calls as the data allow."""
        while count > 0:
            if self.epochs:
                order = self.workload.order[self.next]
                self.model.partial_fit(self.x[order], self.y[order])
                self.next = (self.next + 1) % len(self.workload.order)
                count -= 1
                continue
            now = min(count, self.batches - self.next)
            rows = slice(self.next * self.batch, (self.next + now) * self.batch)
            self.model.partial_fit(self.x[rows], self.y[rows])
            self.next = (self.next + now) % self.batches
            count -= now

    def losses(self, steps):
        self.begin()
        losses = []
        for _ in range(steps):
            self.steps(1)
            losses.append(self.model.loss_)
        return losses

    def times(self, warm, groups, steps):
        if warm:
            self.steps(warm)
        return [time / steps for time in peer.time_groups(lambda: self.steps(steps), groups, 1)]


class Inference(Training):
    """predict_proba: there are no logits to be had."""

    def losses(self, steps):
        self.begin()
        probabilities = self.model.predict_proba(self.x)
        return [-numpy.log(probabilities[numpy.arange(len(self.y)), self.y]).mean()] * steps

    def times(self, warm, groups, steps):
        for _ in range(warm):
            self.model.predict_proba(self.x)
        return peer.time_groups(lambda: self.model.predict_proba(self.x), groups, steps)


def make(workload, threads):
    warnings.simplefilter("ignore")
    contestant = (Inference if workload.kind == "inference" else Training)(workload)
    return contestant, f"scikit-learn {sklearn.__version__}, MLPClassifier, NumPy {numpy.__version__}"


if __name__ == "__main__":
    peer.serve(make, sys.argv[1], int(sys.argv[2]))
