#!/usr/bin/env python3
"""What many Envoys cost: `make bench` runs this and writes its tables into docs/performance.md.

Each cell of the grid is a fresh `serin serve` with G generated gateway files and N clients (benches/xdsload), and after
it `xdsfloor`, which replays the same bytes without any state: what gRPC and the kernel cost on this machine at that
moment. A change is one gateway file with other weights, renamed into place; its clock stops at the last client.

    benches/performance.py [--quick] [--routing plain|scoped] [--cells 1000x1000,...] [--write docs/performance.md]

Python's standard library only. It ends every process that it started.
"""

import argparse
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
SERIN = ROOT / "target/release/serin"
TOOLS = ROOT / "target/xdsload/release"
GRID = [(g, n) for g in (100, 1000, 10000) for n in (1, 100, 1000, 5000) if g * n <= 5_000_000]
QUICK = [(100, 100), (1000, 100)]
ROUNDS = 20
# Gateway 7 is the one that is edited, in every cell.
EDITED = 7
CLUSTER = f"gw-{EDITED:05}/canary"

GATEWAY = """apiVersion: serin/v1
name: gw-{n:05}
host: gw-{n:05}.example.com
upstreams:
  stable: {{ endpoints: [10.0.0.1:8080, 10.0.0.2:8080] }}
  canary: {{ endpoints: [10.0.1.1:8080, 10.0.1.2:8080] }}
traffic: {{ stable: {stable}, canary: {canary} }}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu(pid):
    """CPU seconds of the threads that live."""
    total = 0
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((thread / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            pass  # a thread that has just ended
    return total / 1e9


def rss(pid):
    """Resident memory in MB."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024 / 1e6


class Process:
    """A child that ends with its block."""

    def __init__(self, *command):
        self.command = [str(c) for c in command]

    def __enter__(self):
        self.child = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        return self.child

    def __exit__(self, *_):
        self.child.terminate()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def wait_until(child, ready, seconds=120):
    end = time.monotonic() + seconds
    while not ready():
        if child.poll() is not None:
            sys.exit(f"{child.args[0]} ended with {child.returncode}")
        if time.monotonic() > end:
            sys.exit(f"{child.args[0]} is not ready after {seconds} s")
        time.sleep(0.002)


def is_ready(http):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/readyz", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def is_open(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Cell:
    """One folder of gateways and what is measured with it."""

    def __init__(self, gateways, routing, folder):
        self.gateways, self.routing, self.folder = gateways, routing, pathlib.Path(folder)
        self.files = self.folder / "gateways"
        self.files.mkdir()
        for n in range(gateways):
            (self.files / f"gw-{n:05}.yaml").write_text(GATEWAY.format(n=n, stable=95, canary=5))
        self.edited = self.files / f"gw-{EDITED:05}.yaml"
        self.template = self.folder / "template"
        text = GATEWAY.format(n=EDITED, stable="STABLE", canary="CANARY")
        self.template.write_text(text.replace("STABLE", "{stable}").replace("CANARY", "{canary}"))
        self.settings = self.folder / "serin.yaml"
        self.settings.write_text(f"gateways: {self.files}\n" + (f"routing: {routing}\n" if routing != "plain" else ""))

    def serin(self):
        self.xds, self.http = free_port(), free_port()
        command = [SERIN, "serve", "-c", self.settings, "--log", "error"]
        return Process(*command, "--xds", f"127.0.0.1:{self.xds}", "--http", f"127.0.0.1:{self.http}")

    def edits(self):
        return ["--edit", self.edited, "--template", self.template]

    def load(self, port, pid, clients, protocol, *more):
        command = [TOOLS / "xdsload", "--server", f"http://127.0.0.1:{port}", "-n", clients, "--protocol", protocol]
        command += ["--server-pid", pid, "--match-cluster", CLUSTER, *more]
        command += ["--scoped"] if self.routing == "scoped" else []
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=900)
        if done.returncode != 0:
            sys.exit(f"xdsload: {done.stderr}")
        answer = json.loads(done.stdout)
        trouble = [e for e in answer["errors"] if answer["errors"][e]]
        if trouble or not answer["sync"]["complete"] or not answer.get("change", {"complete": True})["complete"]:
            sys.exit(f"not every client got there: {trouble or done.stdout}")
        return answer

    def measure(self, clients, protocol):
        """Serin, then the floor with what Serin sent."""
        recorded = self.folder / f"recorded-{protocol}-{clients}"
        with self.serin() as child:
            start = time.monotonic()
            wait_until(child, lambda: is_ready(self.http))
            ready = {"s": time.monotonic() - start, "cpu_s": cpu(child.pid), "mb": rss(child.pid)}
            ours = self.load(self.xds, child.pid, clients, protocol, "-k", ROUNDS, *self.edits())
            self.load(self.xds, child.pid, 1, protocol, "-k", 2, "--record", recorded, *self.edits())
        port, http = free_port(), free_port()
        command = [TOOLS / "xdsfloor", "--replay", recorded]
        with Process(*command, "--listen", f"127.0.0.1:{port}", "--http", f"127.0.0.1:{http}") as child:
            wait_until(child, lambda: is_open(port))
            trigger = ["-k", ROUNDS, "--trigger-http", f"http://127.0.0.1:{http}/"]
            floor = self.load(port, child.pid, clients, protocol, *trigger)
        return {"gateways": self.gateways, "clients": clients, "protocol": protocol, "ready": ready,
                "serin": figures(ours), "floor": figures(floor)}

    def manners(self, clients, bad, seconds, times=3):
        """How much the others wait for clients that do not read, or refuse everything: in turns, and the median of each."""
        found = {"good": [], "bad": []}
        for _ in range(times):
            for name, extra in [("good", []), ("bad", ["--slow", bad, "--slow-for", seconds, "--nack", bad])]:
                with self.serin() as child:
                    wait_until(child, lambda: is_ready(self.http))
                    before = rss(child.pid)
                    # The rounds take as long as the slow clients sleep.
                    extra = [*extra, "--window", 65535, "--interval", seconds / 10]
                    answer = self.load(self.xds, child.pid, clients, "delta", "-k", 10, *self.edits(), *extra)
                    time.sleep(3)
                    found[name].append({"p50_ms": answer["change"]["ms"]["p50"],
                                        "last_ms": answer["change"]["last_client_ms"]["p50"],
                                        "cpu_s": answer["change"]["server_cpu_s_mean"],
                                        "mb_before": before, "mb_peak": answer["server"]["peak_mib"] * 1.048576,
                                        "mb_after": rss(child.pid)})
        middle = {name: {key: statistics.median([r[key] for r in runs]) for key in runs[0]} for name, runs in found.items()}
        return {"clients": clients, "each": bad, "seconds": seconds, **middle}


def figures(answer):
    sync, change = answer["sync"], answer["change"]
    return {"sync_s": sync["ms"]["max"] / 1e3, "sync_cpu_s": sync["server_cpu_s"] + sync["server_cpu_s_connect"],
            "sync_bytes": sync["per_client"]["bytes_received"], "mb": sync["server_rss_mib"] * 1.048576,
            "last_ms": statistics.median([r["ms"]["max"] for r in answer["rounds"]]),
            "p50_ms": change["ms"]["p50"], "cpu_s": statistics.median([r["server_cpu_s"] for r in answer["rounds"]]),
            "bytes": change["per_client"]["bytes_received"]}


def ratio(a, b, digits=1):
    return f"{a / b:.{digits}f}" if b else "-"


def table(rows):
    lines = ["| gateways | clients | protocol | first sync: s, CPU s (floor), MB (floor) | bytes per client and change"
             " | last client, ms (floor) | CPU per change, ms (floor) | ratio: time, CPU |",
             "|---|---|---|---|---|---|---|---|"]
    for r in rows:
        s, f = r["serin"], r["floor"]
        lines.append(
            f"| {r['gateways']:,} | {r['clients']:,} | {r['protocol']} | {s['sync_s']:.2f}, {s['sync_cpu_s']:.2f} "
            f"({f['sync_cpu_s']:.2f}), {s['mb']:.0f} ({f['mb']:.0f}) | {s['bytes']:,.0f} | {s['last_ms']:.1f} "
            f"({f['last_ms']:.1f}) | {s['cpu_s'] * 1e3:.1f} ({f['cpu_s'] * 1e3:.1f}) | "
            f"{ratio(s['last_ms'], f['last_ms'])}, {ratio(s['cpu_s'], f['cpu_s'])} |")
    return "\n".join(lines)


def start_table(rows):
    lines = ["| gateways | start until ready, s | CPU, s | MB |", "|---|---|---|---|"]
    for gateways in sorted({r["gateways"] for r in rows}):
        some = [r["ready"] for r in rows if r["gateways"] == gateways]
        middle = {key: statistics.median([s[key] for s in some]) for key in some[0]}
        lines.append(f"| {gateways:,} | {middle['s']:.2f} | {middle['cpu_s']:.2f} | {middle['mb']:.0f} |")
    return "\n".join(lines)


def manners_table(m):
    lines = ["| streams | median, ms | last client, ms | CPU per change, ms | MB before, peak, when all left |",
             "|---|---|---|---|---|"]
    names = {"good": f"{m['clients']:,}",
             "bad": f"the same, {m['each']} of them deaf for {m['seconds']} s and {m['each']} refusing everything"}
    for key, name in names.items():
        x = m[key]
        lines.append(f"| {name} | {x['p50_ms']:.1f} | {x['last_ms']:.1f} | {x['cpu_s'] * 1e3:.1f} | "
                     f"{x['mb_before']:.0f}, {x['mb_peak']:.0f}, {x['mb_after']:.0f} |")
    lines.append(f"\nRatio of the medians: {ratio(m['bad']['p50_ms'], m['good']['p50_ms'], 2)}.")
    return "\n".join(lines)


def write(page, name, text):
    """Replaces what is between the two marks of this name."""
    old = page.read_text()
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    head, _, rest = old.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        sys.exit(f"{page}: no place for {name!r}")
    page.write_text(f"{head}{begin}\n{text}\n{end}{tail}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two small cells only")
    parser.add_argument("--routing", choices=["plain", "scoped"], default="plain")
    parser.add_argument("--protocols", default="delta,sotw")
    parser.add_argument("--cells", help="for example 1000x1000,10000x100")
    parser.add_argument("--manners", action="store_true", help="also with clients that do not read or refuse")
    parser.add_argument("--write", type=pathlib.Path, help="the page that gets the tables")
    args = parser.parse_args()
    cells = QUICK if args.quick else GRID
    if args.cells:
        cells = [tuple(int(x) for x in cell.split("x")) for cell in args.cells.split(",") if cell]
    for tool in [SERIN, TOOLS / "xdsload", TOOLS / "xdsfloor"]:
        if not tool.exists():
            sys.exit(f"{tool} is missing: run `make bench`, which builds it")
    rows = []
    for gateways in sorted({g for g, _ in cells}):
        with tempfile.TemporaryDirectory() as folder:
            cell = Cell(gateways, args.routing, folder)
            for clients in [n for g, n in cells if g == gateways]:
                for protocol in args.protocols.split(","):
                    rows.append(cell.measure(clients, protocol))
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    if rows:
        print(table(rows), start_table(rows), sep="\n\n")
    if args.manners:
        with tempfile.TemporaryDirectory() as folder:
            manners = manners_table(Cell(1000, args.routing, folder).manners(1000, 50, 30))
            print(manners)
            if args.write:
                write(args.write, "manners", manners)
    if args.write and rows:
        write(args.write, args.routing, table(rows))
        write(args.write, "start", start_table(rows))


if __name__ == "__main__":
    os.environ.pop("SERIN_CONFIG", None)
    main()
