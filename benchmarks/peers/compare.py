#!/usr/bin/python3
"""HpcNet beside PyTorch, scikit-learn, ONNX Runtime and oneDNN: the same workloads, weights, data and losses, in turns. README.md says
what each was told.

  compare.py --prepare                         builds HpcNet's side and what has to be compiled; says which contestants are there
  compare.py --workload mnist --threads 1      measures one piece (about 40 s) and keeps the result in the results file
  compare.py --all                             every workload with 1 and 2 threads; --through CMD runs each piece by `CMD piece`
  compare.py --table                           only writes the table of the results file anew

  --seconds N     for the rounds of a piece        --results FILE  default: benchmarks/results/peers.json, the table beside it
  --peers A,B     only these contestants           --workloads A,B, --threads A,B   what --all goes through

Fails (exit code 1) where the losses of a contestant are not HpcNet's to the tolerance, or where no contestant could be compared.
"""
import argparse
import ctypes
import glob
import json
import math
import os
import platform
import select
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.path.join(ROOT, "build", "peers")
HOST = os.environ.get("HPCNET_PEERS_HOST") or os.path.join(ROOT, "benchmarks", "bin", "Release", "net10.0", "HpcNet.Benchmarks.dll")

# How many steps the losses are compared over, and the relative difference that is allowed. Rounding differs, and training makes
# differences grow; scikit-learn puts Adam's epsilon elsewhere (into the uncorrected root). The table has the losses.
STEPS = {
    "xor": 1000, "tabular": 100, "mnist": 20, "mnist-clip": 20, "wide1024": 5, "wide4096": 4,
    "small-epoch-64": 10, "small-epoch-full": 20, "lstm": 2, "infer1": 1, "infer64": 1,
}
TOLERANCE = 1e-3
# After so many steps a contestant begins anew with the first weights: nobody learns the data by heart, or trains until numbers
# become denormal.
MOST_STEPS = {"xor": 400_000, "tabular": 12_000, "infer1": 10 ** 9, "infer64": 10 ** 9, "lstm": 10 ** 9}
LEAST_ROUNDS = 6


def multiarch(pattern):
    found = sorted(glob.glob(f"/usr/lib/*/{pattern}"))
    return found[0] if found else None


def blas_environments(workload, threads):
    """NumPy's and PyTorch's BLAS, with OpenMP threads as PyTorch's own: OpenBLAS and BLIS where Debian's packages are installed, else
    what the system has. A step of wide4096 takes too long for trials."""
    common = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads), "BLIS_NUM_THREADS": str(threads)}
    folders = {"own BLAS": os.environ["HPCNET_PEERS_BLAS"]} if "HPCNET_PEERS_BLAS" in os.environ else {
        "OpenBLAS": multiarch("openblas-openmp"), "BLIS": multiarch("blis-openmp")}
    found = [(name, {**common, "LD_LIBRARY_PATH": folder}) for name, folder in folders.items() if folder]
    return (found[:1] if workload == "wide4096" else found) or [("the system's BLAS", common)]


def python():
    """The first Python that has NumPy: Debian's packages belong to /usr/bin/python3."""
    return os.environ.get("HPCNET_PEERS_PYTHON") or "/usr/bin/python3"


def has_module(name):
    code = f"import importlib.util as u, sys; sys.exit(0 if u.find_spec('{name}') else 1)"
    return subprocess.run([python(), "-c", code], stderr=subprocess.DEVNULL).returncode == 0


TRAINING = ["xor", "tabular", "mnist", "mnist-clip", "wide1024", "wide4096", "small-epoch-64", "small-epoch-full"]
INFERENCE = ["infer1", "infer64"]
WORKLOADS = TRAINING + INFERENCE + ["lstm"]


class Contestant:
    """A kind of contestant: which workloads it takes part in, whether it is there, how it is started."""

    name = ""
    workloads = WORKLOADS

    def missing(self):
        """What must be installed, or None."""
        return None

    def prepare(self):
        """Compiles or writes what start() needs."""

    def command(self, workload, threads):
        raise NotImplementedError

    def environments(self, workload, threads):
        """[(name, variables)] to choose from: the one in which it is fastest is taken."""
        return [("", {"OMP_NUM_THREADS": str(threads)})]


def workload_file(workload):
    return os.path.join(WORK, workload, "workload.safetensors")


class HpcNet(Contestant):
    name = "HpcNet"

    def missing(self):
        return None if shutil.which("dotnet") else "the .NET 10 SDK (dotnet)"

    def prepare(self):
        subprocess.run(["dotnet", "build", os.path.join(ROOT, "benchmarks"), "-c", "Release", "-v", "quiet", "-nologo",
                        "-p:UseSharedCompilation=false", "-nodeReuse:false"], check=True, stdout=sys.stderr)

    def command(self, workload, threads):
        return ["dotnet", HOST, "serve", workload, "--threads", str(threads)]

    def environments(self, workload, threads):
        return [("", {})]


class PyTorch(Contestant):
    name = "PyTorch"

    def missing(self):
        return None if has_module("torch") else "python3-torch, libopenblas0-openmp, libblis4-openmp (apt)"

    def command(self, workload, threads):
        return [python(), os.path.join(HERE, "pytorch_peer.py"), workload_file(workload), str(threads)]

    def environments(self, workload, threads):
        return blas_environments(workload, threads)


class ScikitLearn(Contestant):
    name = "scikit-learn"
    workloads = [name for name in TRAINING + INFERENCE if name not in ("xor", "mnist-clip")]

    def missing(self):
        return None if has_module("sklearn") else "python3-sklearn, libopenblas0-openmp, libblis4-openmp (apt)"

    def command(self, workload, threads):
        return [python(), os.path.join(HERE, "sklearn_peer.py"), workload_file(workload), str(threads)]

    def environments(self, workload, threads):
        return blas_environments(workload, threads)


class OnnxRuntime(Contestant):
    name = "ONNX Runtime"
    workloads = INFERENCE

    @staticmethod
    def folder():
        return os.environ.get("HPCNET_ONNXRUNTIME_NODE") or WORK

    def missing(self):
        if not shutil.which("node"):
            return "nodejs (apt)"
        if not os.path.exists(os.path.join(self.folder(), "node_modules", "onnxruntime-node", "package.json")):
            return ("onnxruntime-node: npm install --ignore-scripts --prefix build/peers onnxruntime-node@1.30 "
                    "(or HPCNET_ONNXRUNTIME_NODE=folder with node_modules)")
        return None if has_module("onnx") else "python3-onnx (apt)"

    def command(self, workload, threads):
        model = os.path.join(WORK, workload, "model.onnx")
        if not os.path.exists(model) or os.path.getmtime(model) < os.path.getmtime(workload_file(workload)):
            subprocess.run([python(), os.path.join(HERE, "write_onnx.py"), workload_file(workload), model], check=True)
        return ["node", os.path.join(HERE, "onnxruntime_peer.js"), self.folder(), workload_file(workload), model, str(threads)]


class OneDnn(Contestant):
    name = "oneDNN"
    workloads = INFERENCE
    program = os.path.join(WORK, "onednn_peer")
    source = os.path.join(HERE, "onednn_peer.cpp")

    def missing(self):
        if not shutil.which("c++"):
            return "g++ (apt)"
        return None if glob.glob("/usr/include/dnnl.hpp") + glob.glob("/usr/local/include/dnnl.hpp") else "libdnnl-dev (apt)"

    def prepare(self):
        if not os.path.exists(self.program) or os.path.getmtime(self.program) < os.path.getmtime(self.source):
            os.makedirs(WORK, exist_ok=True)
            subprocess.run(["c++", "-std=c++17", "-O2", "-fopenmp", self.source, "-o", self.program, "-ldnnl"], check=True)

    def command(self, workload, threads):
        return [self.program, workload_file(workload), str(threads)]


CONTESTANTS = [HpcNet(), PyTorch(), ScikitLearn(), OnnxRuntime(), OneDnn()]


# ---- A running contestant -----------------------------------------------------------------------------------------------


class Failure(Exception):
    pass


def end_with_parent():
    """A stopped contestant would outlive a script that was killed."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    except (OSError, AttributeError):
        pass


class Running:
    """A process that answers lines. While it is not its turn it is stopped, so that no idle thread of it spins."""

    def __init__(self, kind, workload, threads, variables):
        self.kind, self.name = kind, kind.name
        self.log = tempfile.TemporaryFile()
        others = ("OMP_", "GOMP_", "OPENBLAS_", "BLIS_", "LD_LIBRARY")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        environment.update(variables)
        self.process = subprocess.Popen(
            kind.command(workload, threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=environment, bufsize=0,
            preexec_fn=end_with_parent)
        self.buffer = b""
        self.stopped = False
        self.done = 0  # steps since the first weights
        self.most = MOST_STEPS.get(workload, 1000)
        self.turns = []  # medians by round
        self.least = math.inf
        try:
            self.text = " ".join(self.read("ready", 50))
        except BaseException:
            self.kill()
            raise

    def read(self, word, seconds):
        end = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            piece = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            if not piece:
                self.log.seek(0)
                words = (self.log.read().decode(errors="replace").strip().splitlines() or ["no message"])[-1]
                raise Failure(f"{self.name} {'ended' if ready else f'said nothing for {seconds} s'}: {words}")
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        first, *rest = line.decode().split()
        if first != word:
            raise Failure(f"{self.name} answered '{first}'")
        return rest

    def ask(self, line, seconds=50):
        if self.stopped:
            self.process.send_signal(signal.SIGCONT)
            self.stopped = False
        self.process.stdin.write(line.encode() + b"\n")
        return [float(number) for number in self.read(line.split()[0], seconds)]

    def losses_of(self, steps):
        self.done = steps
        return self.ask(f"losses {steps}")

    def run(self, warm, groups, steps, seconds=50):
        """Nanoseconds of a step in each group; stopped afterwards."""
        total = warm + groups * steps
        if self.done + total > self.most:
            self.ask("begin")
            self.done = 0
        self.done += total
        times = self.ask(f"run {warm} {groups} {steps}", seconds)
        self.stop()
        return times

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)
        self.stopped = True

    def processor_seconds(self):
        try:
            with open(f"/proc/{self.process.pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            return 0.0

    def close(self):
        try:
            if self.stopped:
                self.process.send_signal(signal.SIGCONT)
            self.process.stdin.write(b"quit\n")
            self.process.stdin.close()
            self.process.wait(3)
        except (OSError, subprocess.TimeoutExpired):
            self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()


def start(kind, workload, threads):
    """The contestant, in the environment in which it is fastest."""
    environments = kind.environments(workload, threads)
    if len(environments) == 1:
        return Running(kind, workload, threads, environments[0][1])
    best, best_time, best_name, failures = None, math.inf, "", []
    for name, variables in environments:
        one = None
        try:
            one = Running(kind, workload, threads, variables)
            step = one.run(0, 1, 1, seconds=10)[0]
            repeats = max(1, min(int(0.1e9 / step), one.most // 3))
            step = statistics.median(one.run(repeats // 4, 3, repeats, seconds=10))
            if step < best_time:
                one, best, best_time, best_name = best, one, step, name
        except Failure as failure:
            failures.append(str(failure))
        if one:
            one.close()
    if not best:
        raise Failure("; ".join(failures))
    best.text += f", {best_name}"
    return best


def busy_seconds():
    """Processor time of the whole machine, or None where it is not told."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, softirq, steal = (int(field) for field in file.readline().split()[1:9])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None


# ---- Statistics -----------------------------------------------------------------------------------------------------------


def median_interval(values):
    """Order statistics between which the median lies with at least 95 %; with fewer than six values from the least to the largest."""
    values = sorted(values)
    count = len(values)
    skipped, tail = 0, 0.5 ** count
    while skipped + 1 < count / 2 and tail + math.comb(count, skipped + 1) * 0.5 ** count <= 0.025:
        skipped += 1
        tail += math.comb(count, skipped) * 0.5 ** count
    return values[skipped], values[count - 1 - skipped]


# ---- A piece: one workload, one number of threads -------------------------------------------------------------------------


def export(workload):
    file = workload_file(workload)
    if not os.path.exists(file) or os.path.getmtime(file) < os.path.getmtime(HOST):
        subprocess.run(["dotnet", HOST, "export", workload, "--directory", os.path.dirname(file)], check=True)


def measure(workload, threads, seconds, names):
    """The entry of a piece for the results file."""
    begin = time.monotonic()
    if not os.path.exists(HOST):
        raise Failure("HpcNet's side is not built: compare.py --prepare")
    export(workload)
    entry = {"workload": workload, "threads": threads, "steps": STEPS[workload], "contestants": [], "absent": []}
    running = []
    try:
        for kind in CONTESTANTS:
            if workload not in kind.workloads or (names and kind.name not in names and kind.name != "HpcNet"):
                continue
            missing = kind.missing()
            if missing:
                entry["absent"].append({"name": kind.name, "reason": f"not installed: {missing}"})
                print(f"  {kind.name}: not installed: {missing}")
                continue
            try:
                kind.prepare() if kind.name != "HpcNet" else None
                one = start(kind, workload, threads)
                running.append(one)
                one.losses = one.losses_of(STEPS[workload])
                one.stop()
                print(f"  {one.text}: loss {one.losses[0]:.6g}, after {STEPS[workload]} steps {one.losses[-1]:.6g}", flush=True)
            except (Failure, OSError, subprocess.CalledProcessError) as failure:
                if kind.name == "HpcNet":
                    raise
                if running[-1].kind is kind:
                    running.pop().kill()
                entry["absent"].append({"name": kind.name, "reason": str(failure)})
                print(f"  {failure}")

        own = running[0]
        wrong = []
        for one in running:
            one.difference = max(abs(a - b) / max(abs(b), 1e-3) for a, b in zip(one.losses, own.losses))
            if not one.difference <= TOLERANCE:
                wrong.append(f"{one.name}: losses differ from HpcNet's by {one.difference:.2%}: "
                             f"{one.losses[-1]:.6g} and {own.losses[-1]:.6g}")
        if wrong:
            raise Failure("; ".join(wrong))

        # How long a step takes decides on the steps of a turn. It is also time for everybody to warm up.
        plans = []
        for one in running:
            step = min(one.run(0, 1, 1))
            if step < 5e7:
                repeats = max(1, min(int(0.15e9 / step), one.most // 3))
                step = min(one.run(repeats, 3, max(1, repeats // 10)))
            group = max(1, min(int(1e6 / step), one.most // 20))
            groups = max(2, min(int(0.25e9 / step) // group, one.most // 2 // group))
            warm = min(int(0.05e9 / step), one.most // 4)
            plans.append((warm, groups, group))

        # Rounds until the time is over. The order changes from round to round.
        busy, own_time = busy_seconds(), sum(one.processor_seconds() for one in running)
        first = time.monotonic()
        rounds, longest = 0, 0.0
        while rounds < LEAST_ROUNDS or time.monotonic() - first + longest < seconds:
            if rounds >= 2 and time.monotonic() - begin + longest > seconds + 24:  # slow to begin: enough all the same
                break
            round_start = time.monotonic()
            for turn in range(len(running)):
                i = (turn + rounds) % len(running)
                times = running[i].run(*plans[i])
                running[i].turns.append(statistics.median(times))
                running[i].least = min(running[i].least, *times)
            rounds += 1
            longest = max(longest, time.monotonic() - round_start)
        spent = time.monotonic() - first
        if busy is not None:
            others = busy_seconds() - busy - (sum(one.processor_seconds() for one in running) - own_time)
            entry["othersShare"] = round(max(0.0, others) / spent / os.cpu_count(), 4)
    finally:
        for one in running:
            one.close()

    entry["rounds"] = rounds
    for one in running:
        ratios = [theirs / ours for theirs, ours in zip(one.turns, own.turns)]
        low, high = median_interval(ratios)
        entry["contestants"].append({
            "name": one.name, "what": one.text, "nsMin": round(one.least, 1), "nsMedian": round(statistics.median(one.turns), 1),
            "ratio": round(statistics.median(ratios), 4), "ratioLow": round(low, 4), "ratioHigh": round(high, 4),
            "firstLoss": one.losses[0], "lastLoss": one.losses[-1], "lossDifference": one.difference,
        })
    return entry


# ---- Results ----------------------------------------------------------------------------------------------------------------


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def read_results(path):
    if not os.path.exists(path):
        return {"machine": {}, "results": []}
    with open(path) as file:
        return json.load(file)


def keep(path, entry):
    results = read_results(path)
    results["machine"] = {"processor": processor(), "processors": os.cpu_count(), "system": platform.system() + " " + platform.machine()}
    rest = [one for one in results["results"] if (one["workload"], one["threads"]) != (entry["workload"], entry["threads"])]
    results["results"] = sorted(rest + [entry], key=lambda one: (WORKLOADS.index(one["workload"]), one["threads"]))
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + ".new", "w") as file:
        json.dump(results, file, indent=2)
        file.write("\n")
    os.replace(path + ".new", path)
    with open(os.path.splitext(path)[0] + ".md", "w") as file:
        file.write(table(results))


def duration(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}" if nanoseconds < 999.5 * size else f"{nanoseconds / size:.0f} {unit}"
    return f"{nanoseconds:.0f} ns"


def times(ratio):
    return f"{ratio:.3g}" if ratio < 100 else f"{ratio:.0f}"


def table(results):
    peers = [kind.name for kind in CONTESTANTS[1:]]
    lines = [
        "<!-- Made by benchmarks/peers/compare.py from the JSON file beside it. -->",
        f"{results['machine'].get('processor', '')}, {results['machine'].get('processors', '')} processors. Median time of a step; in "
        "brackets how many times HpcNet's, with the interval that holds it in 95 %. Losses: the first one, then the one after N steps, "
        "of each contestant in the order of the columns.",
        "",
        "| workload | threads | HpcNet | " + " | ".join(peers) + " | losses |",
        "|---" * (len(peers) + 4) + "|",
    ]
    for entry in results["results"]:
        by_name = {one["name"]: one for one in entry["contestants"]}
        absent = {one["name"]: one["reason"] for one in entry["absent"]}
        cells = []
        for kind in CONTESTANTS[1:]:
            one = by_name.get(kind.name)
            if one:
                interval = f"{times(one['ratioLow'])} to {times(one['ratioHigh'])}"
                cells.append(f"{duration(one['nsMedian'])} (**{times(one['ratio'])}×**, {interval})")
            elif kind.name in absent:
                cells.append(absent[kind.name].split(":")[0])
            else:
                cells.append("–")
        first = " / ".join(f"{one['firstLoss']:.5f}" for one in entry["contestants"])
        last = " / ".join(f"{one['lastLoss']:.5f}" for one in entry["contestants"])
        losses = first if entry["steps"] == 1 or entry["workload"] == "lstm" else f"{first}; after {entry['steps']}: {last}"
        own = by_name["HpcNet"]
        disturbed = " (disturbed)" if entry.get("othersShare", 0) > 0.05 else ""
        first_cells = [f"`{entry['workload']}`{disturbed}", str(entry["threads"]), duration(own["nsMedian"])]
        lines.append("| " + " | ".join(first_cells + cells + [losses]) + " |")
    whats = {}
    for entry in results["results"]:
        for one in entry["contestants"]:
            whats.setdefault(one["name"], []).append(one["what"].split(",")[0].split(":")[0])
    lines += ["", "Versions: " + "; ".join(dict.fromkeys(what for all_of in whats.values() for what in all_of)) + "."]
    return "\n".join(lines) + "\n"


# ---- Command line -----------------------------------------------------------------------------------------------------------


def piece(arguments, workload, threads):
    print(f"{workload}, {threads} thread{'' if threads == 1 else 's'}", flush=True)
    entry = measure(workload, threads, arguments.seconds, arguments.peers)
    keep(arguments.results, entry)
    for one in entry["contestants"]:
        print(f"  {one['name']:<14} median {duration(one['nsMedian']):>9}  least {duration(one['nsMin']):>9}  "
              f"{one['ratio']:8.3f} x HpcNet [{one['ratioLow']:.3f}, {one['ratioHigh']:.3f}]")
    print(f"  {entry['rounds']} rounds; others had {entry.get('othersShare', 0):.1%} of the processors", flush=True)
    if entry.get("othersShare", 0) > 0.05:
        print("  DISTURBED by other processes: measure again")
    if len(entry["contestants"]) < 2:
        raise Failure("nobody was there to be compared with")


def prepare():
    for kind in CONTESTANTS:
        missing = kind.missing()
        if missing is None:
            kind.prepare()
        print(f"{kind.name:<14} {'is there' if missing is None else 'is not there; it needs ' + missing}", flush=True)


def main():
    # Ended from outside: contestants are ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(number) for number in text.split(",")]
    names = lambda text: text.split(",")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--workload", choices=WORKLOADS)
    parser.add_argument("--workloads", type=names, default=WORKLOADS)
    parser.add_argument("--threads", type=numbers)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--peers", type=names)
    parser.add_argument("--results", default=os.path.join(ROOT, "benchmarks", "results", "peers.json"))
    parser.add_argument("--through", default="")
    arguments = parser.parse_args()
    if arguments.prepare:
        prepare()
    if arguments.table:
        with open(os.path.splitext(arguments.results)[0] + ".md", "w") as file:
            file.write(table(read_results(arguments.results)))
    failed = []
    if arguments.all:
        for workload in arguments.workloads:
            for threads in arguments.threads or [1, 2]:
                command = [sys.executable, os.path.abspath(__file__), "--workload", workload, "--threads", str(threads),
                           "--seconds", str(arguments.seconds), "--results", arguments.results]
                if arguments.peers:
                    command += ["--peers", ",".join(arguments.peers)]
                if subprocess.run(shlex.split(arguments.through) + command).returncode != 0:
                    failed.append(f"{workload} with {threads}")
    elif arguments.workload:
        for threads in arguments.threads or [1]:
            try:
                piece(arguments, arguments.workload, threads)
            except Failure as failure:
                print(f"FAILED: {arguments.workload}, {threads}: {failure}", file=sys.stderr)
                failed.append(arguments.workload)
    elif not arguments.prepare and not arguments.table:
        parser.print_help()
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
