"""HpcNet beside PyTorch on a GPU, in turns and in one run; run.sh calls it. --dry is for trying the script: any OpenCL device, PyTorch's
CPU, tiny shapes. What it then writes says that it is no measurement.

  gpu.py --host PROGRAM --results FOLDER --seconds N [--dry]

Writes results.json and results.md (with --dry: dry.json and dry.md). Exit code 1 where losses differ, or nothing could be compared.
"""
import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "peers"), os.path.join(HERE, "..", "peers")]
from compare import Failure, Running, median_interval  # noqa: E402

# ---- What is measured (data) ----------------------------------------------------------------------------------------------

PRODUCTS = [
    "gemm-4096x4096x4096-nn", "gemm-8192x8192x8192-nn", "gemm-2048x2048x2048-nn", "gemm-1024x1024x1024-nn", "gemm-4096x4096x4096-nt",
    "gemm-4096x4096x4096-tn", "gemm-8192x512x784-nn", "gemm-784x512x8192-tn", "gemm-256x4096x4096-nn", "gemm-128x512x784-nn",
    "gemm-784x512x128-tn", "gemm-32x64x64-nn",
]
# An epoch over data on the device: (name, what it is).
FITS = [
    ("fit-64x64x32x3-4096x32", "64-64-32-3, batch 32"),
    ("fit-784x512x256x10-16384x128", "784-512-256-10, batch 128"),
    ("fit-784x512x256x10-65536x8192", "784-512-256-10, batch 8,192"),
    ("fit-4096x4096x4096x4096x4096-8192x4096", "4096 x 4, batch 4,096"),
]
DRY_PRODUCTS = ["gemm-64x48x32-nn", "gemm-64x48x32-tn"]
DRY_FITS = [("fit-8x16x3-256x32", "8-16-3, batch 32")]
WAYS = ["eager", "graphed", "compiled"]
# HpcNet's precisions beside float32, where the tool has them.
PRECISIONS = ["tf32", "bfloat16"]
EPOCHS = 3               # whose losses are compared
TOLERANCE = 1e-3         # of losses with TF32 off; with it on, the difference is reported alone
ROUNDS = 5
TURN = 0.2e9             # nanoseconds
SECONDS_OF_PRODUCTS = 0.4  # of the time that is left when they begin


class Kind:
    """What compare.Running wants to know of a contestant."""

    def __init__(self, name, command):
        self.name, self._command = name, command

    def command(self, workload, threads):
        return self._command


class Process(Running):
    """A contestant that keeps its turn in mind by itself: one that waits for a line leaves a GPU alone."""

    def __init__(self, name, command):
        variables = {key: value for key, value in os.environ.items() if key.startswith("LD_LIBRARY")}
        super().__init__(Kind(name, command), "", 1, variables)

    def stop(self):
        pass

    def words(self):
        self.log.seek(0)
        return (self.log.read().decode(errors="replace").strip().splitlines() or ["no message"])[-1]

    def ask(self, line, seconds=240):
        try:
            return super().ask(line, seconds)
        except Failure as failure:
            raise Failure(self.words() if "'failed'" in str(failure) else str(failure)) from None


class Contestant:
    """One row of a comparison: a process, and how it is spoken to."""

    def __init__(self, name, process, way="", closes=False):
        self.name, self.process, self.way, self.closes = name, process, f" {way}" if way else "", closes
        self.turns = []

    def run(self, warm, groups, steps):
        return self.process.ask(f"run {warm} {groups} {steps}{self.way}")

    def losses(self, steps):
        return self.process.ask(f"losses {steps}{self.way}")

    def close(self):
        if self.closes:
            self.process.close()
        elif self.process.process.poll() is None:
            self.process.ask(f"close{self.way}")


class Session:
    def __init__(self, arguments):
        self.host, self.dry = arguments.host, arguments.dry
        self.end = time.monotonic() + arguments.seconds
        self.left_out = []
        self.device = "cpu" if arguments.dry else "cuda"
        self.precisions = self.precisions_of_the_tool()

    def left(self):
        return self.end - time.monotonic()

    def precisions_of_the_tool(self):
        text = subprocess.run([self.host, "hpcnet", "bench", "--help"], capture_output=True, text=True, timeout=60).stdout
        return [name for name in PRECISIONS if "--precision" in text and name in text.lower()]

    def hpcnet(self, workload, precision=""):
        command = [self.host, "serve", workload, "--device", "opencl"] + (["--precision", precision] if precision else [])
        return Contestant(f"HpcNet {precision}".strip(), Process("HpcNet", command), closes=True)

    def torch(self, path):
        return Process("PyTorch", [sys.executable, os.path.join(HERE, "pytorch_gpu.py"), path, self.device])


def take_turns(contestants):
    """Rounds in which everybody has a turn, each time in another order; the turns' medians."""
    plans = []
    for one in contestants:
        step = min(one.run(1, 1, 1))
        warm = max(1, int(TURN / 4 / step))
        step = min(one.run(warm, 2, max(1, warm // 4)))
        plans.append((0, 3, max(1, int(TURN / 3 / step))))
    for round_ in range(ROUNDS):
        for turn in range(len(contestants)):
            i = (turn + round_) % len(contestants)
            contestants[i].turns.append(statistics.median(contestants[i].run(*plans[i])))


def measured(one, divisor=1):
    low, high = median_interval(one.turns)
    return {"ns": statistics.median(one.turns) / divisor, "nsLow": low / divisor, "nsHigh": high / divisor, "nsMin": min(one.turns) / divisor}


def open_all(makers, entry):
    """Those that can be had; the others' reasons go into the entry."""
    opened = []
    for name, make in makers:
        try:
            opened.append(make())
        except (Failure, OSError) as failure:
            entry["absent"].append({"name": name, "reason": str(failure)})
            print(f"  {name}: {failure}")
    return opened


def close_all(contestants):
    for one in contestants:
        try:
            one.close()
        except (Failure, OSError):
            pass


def product(session, name, torch):
    entry = {"workload": name, "absent": [], "contestants": []}
    m, n, k = (int(extent) for extent in name.split("-")[1].split("x"))
    own = open_all([("HpcNet", lambda: session.hpcnet(name))]
                   + [(f"HpcNet {p}", lambda p=p: session.hpcnet(name, p)) for p in session.precisions], entry)
    peers = [] if torch is None else [Contestant("PyTorch", torch, name), Contestant("PyTorch tf32", torch, name + "-tf32")]
    contestants = own + peers
    try:
        take_turns(contestants)
        for one in contestants:
            entry["contestants"].append({"name": one.name, "text": one.process.text, **measured(one)})
            entry["contestants"][-1]["gflops"] = 2.0 * m * n * k / entry["contestants"][-1]["ns"]
    finally:
        close_all(contestants)
    peaks = [float(found[1]) for one in own if (found := re.search(r"peak ([0-9.]+) GFLOP/s", one.process.text))]
    entry["peakGflops"] = max(peaks, default=None)
    return entry


def fit(session, name, meaning, folder, seconds):
    latest = time.monotonic() + seconds
    entry = {"workload": name, "meaning": meaning, "absent": [], "contestants": [], "epochs": EPOCHS}
    rows, batch = (int(extent) for extent in name.split("-")[2].split("x"))
    subprocess.run([session.host, "export", name, "--directory", folder], check=True, timeout=200)
    own = open_all([("HpcNet", lambda: session.hpcnet(name))]
                   + [(f"HpcNet {p}", lambda p=p: session.hpcnet(name, p)) for p in session.precisions], entry)
    torch, contestants = None, list(own)
    try:
        torch = session.torch(os.path.join(folder, "workload.safetensors"))
        for way in WAYS:
            for tf32 in ("", "-tf32"):
                contestants.append(Contestant(f"PyTorch {way}{tf32.replace('-', ' ')}", torch, way + tf32))
    except Failure as failure:
        entry["absent"].append({"name": "PyTorch", "reason": str(failure)})
    taking_part, reference = [], None
    try:
        for one in contestants:
            if time.monotonic() > latest - 15 and one not in own:
                entry["absent"].append({"name": one.name, "reason": "no time was left"})
                continue
            try:
                one.loss = one.losses(EPOCHS)
                taking_part.append(one)
            except Failure as failure:
                entry["absent"].append({"name": one.name, "reason": str(failure)})
                print(f"  {one.name}: {failure}")
        take_turns(taking_part)
        for one in taking_part:
            reference = reference or one
            difference = max(abs(a - b) / max(abs(b), 1e-3) for a, b in zip(one.loss, reference.loss))
            entry["contestants"].append({
                "name": one.name, "text": one.process.text, "losses": one.loss, "difference": difference, **measured(one, rows // batch)})
            if not one.name.endswith(("tf32", "bf16")) and not difference <= TOLERANCE:
                entry.setdefault("wrong", []).append(f"{one.name}: losses differ by {difference:.2%}")
    finally:
        close_all(contestants)
        if torch is not None:
            torch.close()
    return entry


# ---- What is written --------------------------------------------------------------------------------------------------------


def read(folder, name):
    path = os.path.join(folder, name)
    return open(path, encoding="utf-8", errors="replace").read() if os.path.exists(path) else ""


def steps_of(folder):
    steps = []
    for line in read(folder, "steps.txt").splitlines():
        name, code, seconds = line.split()
        last = [text for text in read(folder, name + ".txt").splitlines() if text.strip()]
        counts = [int(found[1]) for text in last if (found := re.match(r"\[  PASSED  \] (\d+) test", text))]
        passed = f"{sum(counts)} tests passed" if counts else next((text.strip() for text in reversed(last) if text.startswith("cases:")), "")
        steps.append({"name": name, "exitCode": int(code) if code.isdigit() else None, "seconds": int(seconds), "summary": passed})
    return steps


def duration(nanoseconds):
    for limit, divisor, unit in ((1e3, 1, "ns"), (1e6, 1e3, "us"), (1e9, 1e6, "ms")):
        if nanoseconds < limit:
            return f"{nanoseconds / divisor:.4g} {unit}"
    return f"{nanoseconds / 1e9:.4g} s"


def markdown(results):
    lines = ["# HpcNet beside PyTorch on a GPU", ""]
    if results["dry"]:
        lines += ["**A dry run of the script: another device, tiny shapes. Not a measurement of anything.**", ""]
    machine = results["machine"]
    lines += [f"{results['date']}; {machine['gpu'] or 'no GPU'}; driver {machine['driver'] or 'unknown'}; {machine['system']}; {machine['python']}; "
              f"commit {results['commit'][:12]}.", ""]
    lines += ["| step | exit code | seconds | |", "|---|---|---|---|"]
    lines += [f"| {s['name']} | {'left out' if s['exitCode'] is None else s['exitCode']} | {s['seconds']} | {s['summary']} |" for s in results["steps"]]
    if results["products"]:
        names = sorted({c["name"] for p in results["products"] for c in p["contestants"]}, key=lambda n: (not n.startswith("HpcNet"), n))
        lines += ["", "Products, C[M x N] of depth K: GFLOP/s (higher is better); of peak: HpcNet's share of the multiply-add peak measured in the same "
                  "process; ratio: HpcNet's speed over PyTorch's (cuBLAS), TF32 off and on.", "",
                  "| product | " + " | ".join(names) + " | of peak | ratio | ratio, TF32 on |", "|---|" + "---|" * (len(names) + 3)]
        for p in results["products"]:
            rate = {c["name"]: c["gflops"] for c in p["contestants"]}
            own = rate.get("HpcNet")
            cells = [f"{rate[name]:.0f}" if name in rate else "" for name in names]
            cells.append(f"{100 * own / p['peakGflops']:.0f} %" if own and p["peakGflops"] else "")
            cells += [f"{own / rate[name]:.2f}" if own and name in rate else "" for name in ("PyTorch", "PyTorch tf32")]
            lines.append(f"| {p['workload']} | " + " | ".join(cells) + " |")
    if results["fits"]:
        lines += ["", "Training steps (Adam, data on the device, mini-batches gathered in the same order): time of a step with its 95 % interval; "
                  "ratio: PyTorch's time over HpcNet's (above 1: HpcNet is faster); the largest relative difference of the losses of "
                  f"{EPOCHS} epochs.", "", "| network | | time of a step | interval | ratio | losses |", "|---|---|---|---|---|---|"]
        for f in results["fits"]:
            own = next((c["ns"] for c in f["contestants"] if c["name"] == "HpcNet"), None)
            for c in f["contestants"]:
                ratio = f"{c['ns'] / own:.2f}" if own else ""
                lines.append(f"| {f['meaning']} | {c['name']} | {duration(c['ns'])} | {duration(c['nsLow'])} to {duration(c['nsHigh'])} | {ratio} | {c['difference']:.1e} |")
    absent = [f"{e['workload']}, {a['name']}: {a['reason']}" for e in results["products"] + results["fits"] for a in e["absent"]]
    wrong = [f"{e['workload']}, {text}" for e in results["fits"] for text in e.get("wrong", [])]
    if absent + wrong + results["leftOut"]:
        lines += ["", "Not measured, or wrong:", ""] + [f"- {text}" for text in wrong + absent + results["leftOut"]]
    return "\n".join(lines) + "\n"


def gpu_of_the_machine():
    try:
        text = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True, text=True, timeout=30).stdout
        name, driver = text.splitlines()[0].split(", ")
        return name, driver
    except (OSError, IndexError, ValueError, subprocess.TimeoutExpired):
        return None, None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--results", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--dry", action="store_true")
    arguments = parser.parse_args()
    session = Session(arguments)
    gpu, driver = gpu_of_the_machine()
    results = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "dry": arguments.dry,
        "commit": read(HERE, "commit").strip() or "unknown",
        "machine": {"gpu": gpu, "driver": driver, "system": platform.platform(), "python": f"Python {platform.python_version()}", "processors": os.cpu_count()},
        "steps": steps_of(arguments.results), "products": [], "fits": [], "leftOut": session.left_out,
    }
    bench = read(arguments.results, "bench.json")
    if bench:
        results["bench"] = json.loads(bench)
    name = "dry" if arguments.dry else "results"

    def write():
        with open(os.path.join(arguments.results, name + ".json"), "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
        with open(os.path.join(arguments.results, name + ".md"), "w", encoding="utf-8") as file:
            file.write(markdown(results))

    def piece(kind, workload, needed, measure):
        if session.left() < needed:
            session.left_out.append(f"{workload}: no time was left")
            return
        print(f"{workload} ({session.left():.0f} s left)", flush=True)
        try:
            results[kind].append(measure())
        except (Failure, OSError, ValueError, subprocess.SubprocessError) as failure:
            session.left_out.append(f"{workload}: {failure}")
            print(f"  {failure}", flush=True)
        write()  # what is there so far is good, whatever comes

    write()
    torch = None
    try:
        torch = session.torch("-")
    except Failure as failure:
        session.left_out.append(f"products of PyTorch: {failure}")
        print(f"  PyTorch: {failure}")
    fits_begin = time.monotonic() + session.left() * SECONDS_OF_PRODUCTS
    for workload in DRY_PRODUCTS if arguments.dry else PRODUCTS:
        needed = 12 + max(0.0, session.end - fits_begin)
        piece("products", workload, needed, lambda: product(session, workload, torch))
    if torch is not None:
        torch.close()
    fits = DRY_FITS if arguments.dry else FITS
    for i, (workload, meaning) in enumerate(fits):
        with tempfile.TemporaryDirectory() as folder:
            piece("fits", workload, 25, lambda: fit(session, workload, meaning, folder, session.left() / (len(fits) - i)))
    write()
    print(markdown(results))
    wrong = any("wrong" in entry for entry in results["fits"])
    compared = any(c["name"].startswith("PyTorch") for e in results["products"] + results["fits"] for c in e["contestants"])
    return 1 if wrong or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
