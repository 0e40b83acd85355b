"""A Lambda function on this machine: cargo-lambda's Runtime and Invoke APIs, with a built `bootstrap` as the function.

In come the bootstrap and the environment that was deployed for it; events go in by `invoke`, and answers come back as
the function wrote them, streamed ones as they are written. Between the function and cargo-lambda stands a relay:
cargo-lambda names a deadline in 1970 and an ARN of nothing, and reads a streamed answer itself, which is for a front
door to do.
"""

import http.client
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PATIENCE_SECONDS = 20
STREAMED = "application/vnd.awslambda.http-integration-response"
# What cargo-lambda calls the function of a project that it does not build.
NAME = "_"
# It asks for a project, and builds nothing of it.
MANIFEST = """[package]
name = "function"
version = "0.0.0"
edition = "2021"
[[bin]]
name = "function"
path = "main.rs"
[workspace]
"""


def eventually(holds, what: str) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {PATIENCE_SECONDS} s")
        time.sleep(0.02)


def free_port() -> int:
    """A port of the system's choice, for a program that cannot ask for one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def process(command: list[str], folder: Path, environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen]:
    """Runs a program in here, with what it writes in a file. It ends with this, whatever happens."""
    with log.open("wb") as lines:
        started = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=lines, stderr=subprocess.STDOUT
        )
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(timeout=10)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def chunks(stream) -> Iterator[bytes]:
    """The chunks of a chunked body, as they come. A trailer that names an error is one."""
    while size := int(stream.readline().split(b";")[0], 16):
        yield stream.read(size)
        stream.readline()
    while line := stream.readline().strip():
        if line.lower().startswith(b"lambda-runtime-function-error-type"):
            raise ConnectionError(f"the function failed in the middle of its answer: {line.decode()}")


class Relay(BaseHTTPRequestHandler):
    """The Runtime API as the function sees it."""

    protocol_version = "HTTP/1.1"
    server: "RelayServer"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        """The next event: when there is one."""
        self.server.has_polled.set()
        status = 204
        while status == 204:
            upstream = http.client.HTTPConnection("127.0.0.1", self.server.port)
            upstream.request("GET", f"/.rt{self.path}")
            answer = upstream.getresponse()
            status, body, headers = answer.status, answer.read(), dict(answer.getheaders())
            upstream.close()
        self.send_response(status)
        for name, value in headers.items():
            if name.lower().startswith("lambda-runtime-"):
                self.send_header(name, self.server.corrected(name.lower(), value))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """An answer, or an error."""
        is_streamed = self.headers.get("Lambda-Runtime-Function-Response-Mode") == "streaming"
        if is_streamed and self.headers.get("Content-Type") != STREAMED:
            self.server.defects.append(f"a streamed answer of type {self.headers.get('Content-Type')}")
        if self.path.endswith("/init/error"):
            self.server.defects.append("the function could not start")
        is_chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        body = chunks(self.rfile) if is_chunked else self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if is_chunked and not is_streamed:
            body = b"".join(body)
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE_SECONDS)
        try:
            # Without its own headers: cargo-lambda would read the prelude of a streamed answer, and lose a part.
            upstream.request(
                "POST",
                f"/.rt{self.path}",
                body,
                encode_chunked=is_streamed,
                headers={"Transfer-Encoding": "chunked"} if is_streamed else {},
            )
            upstream.getresponse().read()
        except OSError as error:
            # Whoever waits for the answer learns it by the end of their connection.
            self.server.notes.append(f"an answer broke off: {error}")
            self.close_connection = True
        finally:
            upstream.close()
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()


class RelayServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, arn: str, timeout_seconds: int):
        super().__init__(("127.0.0.1", 0), Relay)
        self.port, self.arn, self.timeout_seconds = port, arn, timeout_seconds
        self.has_polled = threading.Event()
        # What a function must never do; and what may happen.
        self.defects: list[str] = []
        self.notes: list[str] = []

    def corrected(self, name: str, value: str) -> str:
        if name == "lambda-runtime-deadline-ms":
            return str(int((time.time() + self.timeout_seconds) * 1000))
        return self.arn if name == "lambda-runtime-invoked-function-arn" else value

    def handle_error(self, *_: object) -> None:
        """A function that ended while it waited for an event is none."""


class Function:
    """A running function."""

    def __init__(self, port: int, relay: RelayServer, log: Path):
        self.port, self.relay, self.log = port, relay, log

    @contextmanager
    def invoke(self, event: bytes, seconds: float) -> Iterator[http.client.HTTPResponse]:
        """The function's answer to an event: 200 and what it wrote, or an error."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request("POST", f"/2015-03-31/functions/{NAME}/invocations", event)
            yield connection.getresponse()
        finally:
            connection.close()


@contextmanager
def running(bootstrap: Path, folder: Path, configuration: dict, additions: dict[str, str]) -> Iterator[Function]:
    """Runs a function as Lambda was told to: with the environment of its configuration, and Lambda's own variables."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Cargo.toml").write_text(MANIFEST)
    (folder / "main.rs").write_text("fn main() {}\n")
    port = free_port()
    watch = ["cargo-lambda", "lambda", "watch", "--only-lambda-apis", "--disable-cors", "--ignore-changes"]
    # Without a toolchain of its own, and never looking for one elsewhere.
    toolchain = {"RUSTUP_AUTO_INSTALL": "0", "CARGO_NET_OFFLINE": "true"}
    own_path = f"{Path(os.sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    apis = process(
        [*watch, "--invoke-address", "127.0.0.1", "--invoke-port", str(port)],
        folder,
        os.environ | toolchain | {"PATH": own_path},
        folder / "cargo-lambda.log",
    )
    with apis as apis_process:
        eventually(lambda: listens(port) or apis_process.poll() is not None, "cargo lambda watch")
        if apis_process.poll() is not None:
            raise RuntimeError(f"cargo lambda watch ended: {(folder / 'cargo-lambda.log').read_text()[-2000:]}")
        relay = RelayServer(port, configuration["FunctionArn"], configuration["Timeout"])
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        try:
            environment = (
                configuration["Environment"]["Variables"]
                | {
                    "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{relay.server_address[1]}",
                    "AWS_LAMBDA_FUNCTION_NAME": configuration["FunctionName"],
                    "AWS_LAMBDA_FUNCTION_VERSION": configuration["Version"],
                    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
                    "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{configuration['FunctionName']}",
                    "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
                    "_HANDLER": configuration["Handler"],
                    "LAMBDA_TASK_ROOT": str(folder),
                    "TZ": ":UTC",
                    "LANG": "en_US.UTF-8",
                }
                | additions
            )
            log = folder / "function.log"
            with process([str(bootstrap)], folder, environment, log) as function:
                eventually(
                    lambda: relay.has_polled.is_set() or function.poll() is not None, "the function's first poll"
                )
                if function.poll() is not None:
                    raise RuntimeError(f"the function ended with {function.returncode}: {log.read_text()[-2000:]}")
                yield Function(port, relay, log)
                if function.poll() is not None:
                    raise RuntimeError(f"the function ended with {function.returncode}: {log.read_text()[-2000:]}")
        finally:
            relay.shutdown()
            relay.server_close()
