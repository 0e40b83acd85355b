"""What stands before a function: turns HTTP requests into events, and the function's answers back.

Each of the four front doors writes its events in full, as AWS documents them, and reads an answer as strictly as it can
be read; what is not in order is a 502, as it would be there, and a line in `defects`.
Sources: API Gateway developer guide, "Lambda proxy integrations in API Gateway" (v1), "Create AWS Lambda proxy
integrations for HTTP APIs" (v2); Lambda developer guide, "Invoking Lambda function URLs"; Elastic Load Balancing user
guide, "Use Lambda functions as targets of an Application Load Balancer".
"""

import fnmatch
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from exchange import CLIENT, Answer, BadAnswer, Request, buffered, refusal, streamed
from function import Function
from sigv4 import Signer, signer_of

# HTTP APIs wait no longer; the others would.
INVOCATION_SECONDS = 30
REMAPPED = {"www-authenticate": "x-amzn-remapped-www-authenticate"}


@dataclass
class FrontDoor:
    """A front door as it was deployed. `host` is the name by which clients call it."""

    host: str
    api_id: str = ""
    account: str = ""
    stage: str = "$default"
    # Of an ALB: path patterns and hosts of each rule, and the target group.
    rules: list[tuple[list[str], list[str]]] = field(default_factory=list)
    target_group: str = ""
    # Of a Function URL.
    region: str = ""
    signers: list[Signer] = field(default_factory=list)

    streams = False
    # What the JSON of a whole answer has, beside what every front door's has.
    members = ("headers",)

    def refuses(self, request: Request) -> Answer | None:
        """What the front door answers without the function."""
        return None

    def event(self, request: Request) -> dict:
        raise NotImplementedError

    def read(self, response: HTTPResponse) -> Answer:
        """What a client gets of the function's answer."""
        answer = streamed(response) if self.streams else buffered(response.read(), self.members)
        if self.streams:
            answer.headers = [(REMAPPED.get(name.lower(), name), value) for name, value in answer.headers]
        return answer

    def failure(self, status: int) -> Answer:
        return refusal(status, '{"message":"Internal Server Error"}')


class HttpApi(FrontDoor):
    """API Gateway's HTTP API: payload version 2.0."""

    def event(self, request: Request) -> dict:
        lists = request.lists(str.lower)
        cookies = [cookie for value in lists.pop("cookie", []) for cookie in value.split("; ")]
        body, is_base64 = request.event_body()
        now = datetime.now(UTC)
        parameters: dict[str, list[str]] = {}
        for name, value in parse_qsl(request.query, keep_blank_values=True):
            parameters.setdefault(name, []).append(value)
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": request.path,
            "rawQueryString": request.query,
            "headers": {name: ",".join(values) for name, values in lists.items()},
            "requestContext": {
                "accountId": self.account,
                "apiId": self.api_id,
                "domainName": self.host,
                "domainPrefix": self.host.split(".")[0],
                "http": {
                    "method": request.method,
                    "path": request.path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": CLIENT,
                    "userAgent": request.header("User-Agent") or "",
                },
                "requestId": uuid.uuid4().hex[:15] + "=",
                "routeKey": "$default",
                "stage": self.stage,
                "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
                "timeEpoch": int(now.timestamp() * 1000),
            },
            "isBase64Encoded": is_base64,
        }
        # What is not there has no member.
        if cookies:
            event["cookies"] = cookies
        if parameters:
            event["queryStringParameters"] = {name: ",".join(values) for name, values in parameters.items()}
        if body is not None:
            event["body"] = body
        return event


class FunctionUrl(HttpApi):
    """A Function URL with AuthType AWS_IAM and invoke mode RESPONSE_STREAM."""

    streams = True

    def refuses(self, request: Request) -> Answer | None:
        if signer_of(request, self.signers, self.region, "lambda") is None:
            return refusal(
                403,
                '{"Message":"Forbidden. For troubleshooting Function URL authorization issues, see: '
                'https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"}',
            )
        return None

    def event(self, request: Request) -> dict:
        event = super().event(request)
        signer = signer_of(request, self.signers, self.region, "lambda")
        context = event["requestContext"]
        context["accountId"] = signer.account
        context["authentication"] = None
        context["authorizer"] = {
            "iam": {
                "accessKey": signer.access_key,
                "accountId": signer.account,
                "callerId": signer.user_id,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": signer.arn,
                "userId": signer.user_id,
            }
        }
        event["headers"]["x-amzn-tls-version"] = "TLSv1.3"
        event["headers"]["x-amzn-tls-cipher-suite"] = "TLS_AES_128_GCM_SHA256"
        return event


class RestApi(FrontDoor):
    """API Gateway's REST API: payload version 1.0, one greedy path, answers streamed."""

    streams = True

    def refuses(self, request: Request) -> Answer | None:
        # Nothing of this host is outside of its stages; a stage's own root is no path of the API.
        if not request.path.startswith(f"/{self.stage}/"):
            return refusal(403, '{"message":"Forbidden"}')
        if request.path == f"/{self.stage}/":
            return refusal(404, '{"error":"not_found"}')
        return None

    def event(self, request: Request) -> dict:
        lists = request.lists()
        path = request.path.removeprefix(f"/{self.stage}")
        body, is_base64 = request.event_body()
        now = datetime.now(UTC)
        parameters: dict[str, list[str]] = {}
        for name, value in parse_qsl(request.query, keep_blank_values=True):
            parameters.setdefault(name, []).append(value)
        return {
            "resource": "/{proxy+}",
            "path": path,
            "httpMethod": request.method,
            "headers": {name: values[-1] for name, values in lists.items()},
            "multiValueHeaders": lists,
            "queryStringParameters": {name: values[-1] for name, values in parameters.items()} or None,
            "multiValueQueryStringParameters": parameters or None,
            "pathParameters": {"proxy": path.lstrip("/")},
            "stageVariables": None,
            "requestContext": {
                "resourceId": "roq9wj",
                "resourcePath": "/{proxy+}",
                "httpMethod": request.method,
                "extendedRequestId": uuid.uuid4().hex[:15] + "=",
                "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
                "path": request.path,
                "accountId": self.account,
                "protocol": "HTTP/1.1",
                "stage": self.stage,
                "domainPrefix": self.host.split(".")[0],
                "requestTimeEpoch": int(now.timestamp() * 1000),
                "requestId": str(uuid.uuid4()),
                "identity": {
                    "cognitoIdentityPoolId": None,
                    "accountId": None,
                    "cognitoIdentityId": None,
                    "caller": None,
                    "sourceIp": CLIENT,
                    "principalOrgId": None,
                    "accessKey": None,
                    "cognitoAuthenticationType": None,
                    "cognitoAuthenticationProvider": None,
                    "userArn": None,
                    "userAgent": request.header("User-Agent"),
                    "user": None,
                },
                "domainName": self.host,
                "deploymentId": "37i1t7",
                "apiId": self.api_id,
            },
            "body": body,
            "isBase64Encoded": is_base64,
        }


class Alb(FrontDoor):
    """A listener whose rules forward to a Lambda target group with multi-value headers."""

    members = ("statusDescription", "multiValueHeaders")

    def refuses(self, request: Request) -> Answer | None:
        host = (request.header("Host") or "").split(":")[0].lower()
        for paths, hosts in self.rules:
            is_host = not hosts or any(fnmatch.fnmatchcase(host, pattern) for pattern in hosts)
            if is_host and any(fnmatch.fnmatchcase(request.path, pattern) for pattern in paths):
                return None
        return refusal(404, "The listener's default action", "text/plain")

    def event(self, request: Request) -> dict:
        body, is_base64 = request.event_body()
        parameters: dict[str, list[str]] = {}
        for pair in filter(None, request.query.split("&")):
            # As they are in the URL.
            name, _, value = pair.partition("=")
            parameters.setdefault(name, []).append(value)
        return {
            "requestContext": {"elb": {"targetGroupArn": self.target_group}},
            "httpMethod": request.method,
            "path": request.path,
            "multiValueQueryStringParameters": parameters,
            "multiValueHeaders": request.lists(str.lower),
            "body": body or "",
            "isBase64Encoded": is_base64,
        }

    def failure(self, status: int) -> Answer:
        return refusal(status, f"<html><body><h1>{status}</h1></body></html>", "text/html")


KINDS: dict[str, type[FrontDoor]] = {
    "http_api": HttpApi,
    "rest_api": RestApi,
    "alb": Alb,
    "function_url": FunctionUrl,
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, *_: object) -> None:
        pass

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        request = Request(self.command, parts.path, parts.query, list(self.headers.items()), body)
        with self.server.answer(request) as answer:
            self.send_response(answer.status)
            for name, value in answer.headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
            self.end_headers()
            for part in filter(None, answer.body):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    do_GET = do_POST = do_DELETE = do_PUT = do_OPTIONS = handle_any


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, door: FrontDoor, function: Function):
        super().__init__(("127.0.0.1", 0), Handler)
        self.door, self.function = door, function
        self.defects: list[str] = []
        # What goes wrong between here and the client.
        self.fault: Callable[[Request, Answer], Answer] = lambda _request, answer: answer

    @contextmanager
    def answer(self, request: Request) -> Iterator[Answer]:
        if refused := self.door.refuses(request):
            yield refused
            return
        event = json.dumps(self.door.event(request)).encode()
        with self.function.invoke(event, INVOCATION_SECONDS) as response:
            try:
                if response.status != 200:
                    raise BadAnswer(f"the invocation failed: {response.status} {response.read()[:200]!r}")
                answer = self.door.read(response)
            except BadAnswer as problem:
                self.defects.append(f"{request.method} {request.path}: {problem}")
                answer = self.door.failure(502)
            except TimeoutError:
                self.defects.append(f"{request.method} {request.path}: no answer")
                answer = self.door.failure(504)
            yield self.fault(request, answer)

    def handle_error(self, *_: object) -> None:
        """A client that left is no defect of the function."""


@contextmanager
def serving(door: FrontDoor, function: Function) -> Iterator[Server]:
    """Serves a front door on a port of the system's choice."""
    server = Server(door, function)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
