"""gRPC without a proxy: toy models, and a client that finds them by `xds:///...`. The test writes lines and reads answers.

    grpc_client.py serve v1 v2       servers that answer each call with their name; says {"v1": port, "v2": port}
    grpc_client.py call TARGET       for each line [calls, method, {metadata}] says {"v1": 12, "UNAVAILABLE": 3}

Both end with their input.
"""

import collections
import concurrent.futures
import json
import sys

import grpc

DEADLINE = 20


def say(value):
    print(json.dumps(value), flush=True)


class Toy(grpc.GenericRpcHandler):
    """Answers any method."""

    def __init__(self, name):
        self.name = name.encode()

    def service(self, _):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self.name)


def serve(names):
    ports, servers = {}, []
    for name in names:
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[Toy(name)])
        ports[name] = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
    say(ports)
    sys.stdin.read()
    for server in servers:
        server.stop(None)


def call(target):
    with grpc.insecure_channel(target) as channel:
        for line in sys.stdin:
            calls, method, metadata = json.loads(line)
            stub = channel.unary_unary(method)
            answers = collections.Counter()
            for _ in range(calls):
                try:
                    answers[stub(b"", timeout=DEADLINE, metadata=list(metadata.items())).decode()] += 1
                except grpc.RpcError as error:
                    answers[error.code().name] += 1
                    print(error.details(), file=sys.stderr)
            say(answers)


if __name__ == "__main__":
    {"serve": lambda: serve(sys.argv[2:]), "call": lambda: call(sys.argv[2])}[sys.argv[1]]()
