"""`make run`: Rolecall with an AWS of its own, ready to call. Ctrl-C ends everything.

Usage: run.py BINARY PORT
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import dev_cloud


def call(url: str, token: str, params: dict) -> str:
    """A line to paste into a shell that calls a tool."""
    message = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, separators=(",", ":"))
    headers = (f"Authorization: Bearer {token}", "Content-Type: application/json")
    return " \\\n  ".join([f"curl -s {url}", *(f"-H '{header}'" for header in headers), f"-d '{message}'"])


def checked_port(text: str) -> int:
    """The port. Ends with a sentence if it is none, or is taken."""
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        sys.exit("PORT must be a number from 1 to 65535: make run PORT=8081")
    port = int(text)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sys.exit(f"Port {port} cannot be used ({error.strerror}). Take another: make run PORT={port % 65535 + 1}")
    return port


def main() -> int:
    binary, port = sys.argv[1], checked_port(sys.argv[2])
    print("Starting an AWS of our own (moto) with two accounts …", flush=True)
    cloud, world = dev_cloud.start()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= dev_cloud.environment(world)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "rolecall.json"
        config.write_text(json.dumps(dev_cloud.configuration(world), indent=2))

        def token(person: dict) -> str:
            roles = [argument for role in person["roles"] for argument in ("--role", role)]
            command = [binary, "token", "--config", config, "--subject", person["name"], "--ttl", "43200", *roles]
            return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()

        tokens = {person["name"]: token(person) for person in world["people"]}
        server = subprocess.Popen(
            [binary, "serve", "--config", config, "--listen", f"127.0.0.1:{port}"], env=environment
        )
        # Ctrl-C reaches the server too; we wait for it, and then end what is ours.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        url = f"http://127.0.0.1:{port}/mcp"
        alice = world["people"][0]
        print(f"\nEndpoint:  {url}\nAWS:       {world['endpoint']} (moto)\n")
        for name, minted in tokens.items():
            print(f"Token of {name} (12 hours):\n{minted}\n")
        print("Paste this to list what lies in alice's bucket, as alice:\n")
        print(call(url, tokens["alice"], {"name": "bucket_objects_list", "arguments": {"bucket": alice["bucket"]}}))
        print("\nAs bob, the same is denied. Alice has a second role; this acts as it, for her session:\n")
        chosen = {"name": "assume_quilt_user_role", "arguments": {"role_arn": alice["roles"][1]}}
        print(call(url, tokens["alice"], chosen))
        print("\nCtrl-C ends everything.\n", flush=True)
        code = server.wait()
    cloud.stop()
    # Ended by a signal is how it is meant to end.
    return code if code > 0 else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        # Before there was a server to wait for.
        sys.exit(130)
