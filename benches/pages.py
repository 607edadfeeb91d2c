#!/usr/bin/env python3
"""What open pages cost the control plane: 1,000 gateways, 20 pages that follow the list, and an edit each second.

    benches/pages.py target/release/serin [SECONDS]

Says how much of a processor `serin serve` needs without pages and with them, how long `GET /api/v1/gateways` takes
meanwhile, and how soon after an edit the last page has heard of it. There is no Envoy. Standard library only.
"""

import http.client
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

GATEWAYS, PAGES = 1000, 20


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def text(i, share):
    return (f"apiVersion: serin/v1\nname: g{i:04}\npath: /g{i:04}\n"
            f"upstreams: {{ v1: 'http://10.0.0.1:80', v2: 'http://10.0.0.2:80' }}\ntraffic: {{ v1: {100 - share}, v2: {share} }}\n")


def cpu(pid):
    """Seconds of processor time so far: user and system, proc(5)."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def follow(port, heard):
    """One page: notes when it heard of which share of which gateway."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/api/v1/watch")
    answer = connection.getresponse()
    event = ""
    while line := answer.readline().decode():
        if line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:") and event == "changes":
            now = time.monotonic()
            for row in json.loads(line[5:])["changed"]:
                heard.setdefault((row["name"], row["upstreams"][1]["weight"]), now)


def edits(folder, port, seconds, pages):
    """An edit and a question each second. How soon all pages knew, and how long the answers took."""
    delays, answers = [], []
    end = time.monotonic() + seconds
    turn = 0
    while time.monotonic() < end:
        begun = time.monotonic()
        i, share = turn % GATEWAYS, (50 if pages else 11) + turn % 39
        (folder / ".new").write_text(text(i, share))
        os.replace(folder / ".new", folder / f"g{i:04}.yaml")
        asked = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/api/v1/gateways")
        assert len(json.loads(connection.getresponse().read())["gateways"]) == GATEWAYS
        answers.append(time.monotonic() - asked)
        connection.close()
        time.sleep(max(0, begun + 1 - time.monotonic()))
        key = (f"g{i:04}", share)
        if pages and all(key in heard for heard in pages):
            delays.append(max(heard[key] for heard in pages) - begun)
        turn += 1
    return turn, delays, answers


def main():
    binary = sys.argv[1]
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work, "gateways")
        folder.mkdir()
        for i in range(GATEWAYS):
            (folder / f"g{i:04}.yaml").write_text(text(i, 10))
        http_port, xds = free_port(), free_port()
        server = subprocess.Popen([binary, "serve", "--gateways", folder, "--http", f"127.0.0.1:{http_port}", "--xds",
                                   f"127.0.0.1:{xds}", "--store", f"sqlite:{work}/serin.db", "--log", "error"])
        try:
            for _ in range(600):
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", http_port)
                    connection.request("GET", "/readyz")
                    if connection.getresponse().status == 200:
                        break
                except OSError:
                    pass
                time.sleep(0.1)
            pages = []
            for count in (0, PAGES):
                pages = [{} for _ in range(count)]
                for heard in pages:
                    threading.Thread(target=follow, args=(http_port, heard), daemon=True).start()
                time.sleep(3)
                before, begun = cpu(server.pid), time.monotonic()
                turns, delays, answers = edits(folder, http_port, seconds, pages)
                used = (cpu(server.pid) - before) / (time.monotonic() - begun)
                print(f"{count} pages, {turns} edits: {100 * used:.1f} % of one processor; GET /api/v1/gateways "
                      f"median {1000 * statistics.median(answers):.0f} ms, longest {1000 * max(answers):.0f} ms", end="")
                print(f"; {len(delays)} edits were heard by all within a second, median {1000 * statistics.median(delays):.0f} ms, "
                      f"longest {1000 * max(delays):.0f} ms" if delays else "")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
