"""`make smoke`: does a deployed Rolecall answer as its clients need it?

In come the URL that clients use and a token, or, for a front door that AWS authenticates, the AWS credentials of the
environment. Out goes a line for each check: `ok`, `WARNING`, or `FAILED` with what was expected, what came and what to
do. Ends with 1 if a check failed. The token is never printed. It comes by the variable TOKEN: given before `make`, as in
`TOKEN=… make smoke URL=…`, it is in no process list; given after it, it is an argument of make's.

Usage: TOKEN=… smoke.py URL [--role ARN] [--connect HOST:PORT]
       smoke.py URL --sigv4 [--role ARN] [--region REGION] [--connect HOST:PORT]
"""

import argparse
import hashlib
import http.client
import itertools
import json
import os
import re
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

# A cold start with an unreachable AWS is given up by the server itself, before this.
REQUEST_SECONDS = 35
LARGEST_ANSWER = 10_000_000
LEGACY = "2025-11-25"
MODERN = "2026-07-28"
CLIENT = {"name": "rolecall-smoke", "version": "1"}
REMAPPED = "x-amzn-remapped-www-authenticate"
WELL_KNOWN = "/.well-known/oauth-protected-resource"
ROLE_HEADER = "X-Quilt-User-Role"
# RFC 6750's b64token: what an Authorization header can carry. Credentials of AWS are written with the same characters.
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
# Partition, account, path, name.
ROLE = re.compile(r"arn:(aws[a-z-]*):iam::([0-9]{12}):role/([!-~]+/)?([A-Za-z0-9_+=,.@-]{1,64})")
# Where --connect may lead: the token goes there in the clear.
LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\]):[0-9]+")


class Failed(Exception):
    """A check that failed."""

    def __init__(self, expected: str, came: str, todo: str):
        self.expected, self.came, self.todo = expected, came.rstrip("."), todo

    def sentence(self, said: dict[str, str]) -> str:
        """What failed, and what to do, unless that was said at a check before. `said` is what was, and where."""
        where = said.get(self.todo)
        return f"expected {self.expected}; came {self.came}. {f'What to do: as at {where}.' if where else self.todo}"


class ToolFailed(Failed):
    """A tool says that it failed."""


class Unreachable(Failed):
    """There is nobody at the URL: no other check can say more."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> dict:
        """The answer's JSON-RPC message, or document."""
        text = self.text
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            text = [line[5:] for line in text.splitlines() if line.startswith("data:")][-1:]
            text = text[0] if text else ""
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Failed("a JSON object", self.seen(), "Something that is not Rolecall answers at this URL.")
        return value

    def seen(self) -> str:
        return f"{self.status} {' '.join(self.text[:300].split())}".strip()


# What the front doors and Rolecall answer instead, and what that means: status, part of the body, advice.
ADVICE = [
    (
        403,
        "Missing Authentication Token",
        "The REST API has no such path: the URL must name its stage, as the output mcp_url does.",
    ),
    (403, "caller_not_allowed", "Add the caller to roles.iam.callers of the configuration."),
    (403, "role_not_allowed", "The role must be one that the token lists, and be matched by roles.allow."),
    (403, "insufficient_scope", "Take a token with the scopes that auth.requiredScopes asks for."),
    (403, "Origin", "Something before the server adds an Origin header."),
    (403, "orbidden", "The front door asks for a signed request: make smoke SIGV4=1; or its WAF refuses this one."),
    (
        401,
        "",
        "The token is expired, or of another issuer or audience than the configuration names; the log says which.",
    ),
    (404, "Not Found", "The front door has no such route: use the output mcp_url."),
    (404, "", "The path is not Rolecall's: use the output mcp_url; a path before /mcp must be in public_url."),
    (421, "", "Rolecall does not go by this host: set public_url, or server.allowedHosts in the configuration."),
    (502, "", "The function fails to start or to answer: look in its log group."),
    (503, "", "Rolecall cannot read a secret or key: name its ARN in secret_arns; the log says which."),
    (504, "", "The function did not answer in time: look in its log group, and at what it may reach from its VPC."),
    (500, "", "The function failed: look in its log group, and whether the front door may invoke it."),
]


def advice(answer: Answer) -> str:
    for status, part, text in ADVICE:
        if answer.status == status and part in answer.text:
            return text
    if 300 <= answer.status < 400:
        return "Something before Rolecall redirects: a listener's rule, or its authentication, comes first."
    return "Look in the log group of the function."


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Ends what takes longer, however slowly its bytes come."""

    def over(*_: object) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


class Endpoint:
    """Where requests go, and how they are authenticated."""

    def __init__(
        self,
        parts: SplitResult,
        connect: str | None,
        authenticate: Callable[[str, str, bytes, dict], dict],
        hide: Callable[[str], str],
    ):
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.host = parts.netloc
        self.base = parts.path.rstrip("/").removesuffix("/mcp")
        self.is_tls = parts.scheme == "https" and not connect
        self.address = connect or parts.netloc
        self.authenticate = authenticate
        self.hide = hide

    @property
    def mcp(self) -> str:
        return f"{self.base}/mcp"

    def send(
        self,
        method: str,
        path: str,
        body: dict | None = None,
        headers: dict | None = None,
        authenticate: Callable[[str, str, bytes, dict], dict] | None = None,
    ) -> Answer:
        """Sends a request; unauthenticated where `authenticate` is `anonymous`."""
        payload = json.dumps(body).encode() if body is not None else b""
        sent = {"Host": self.host, "Accept": "application/json, text/event-stream", "User-Agent": "rolecall-smoke/1"}
        if body is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        sent |= (authenticate or self.authenticate)(method, f"{self.origin}{path}", payload, sent)
        try:
            with time_limit(REQUEST_SECONDS):
                return self.exchange(method, path, payload, sent)
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(
                f"a certificate for {self.host}",
                error.verify_message,
                "A custom domain needs its own certificate; or this machine lacks the root (SSL_CERT_FILE).",
            ) from None
        except ssl.SSLError as error:
            raise Unreachable("TLS", str(error.reason or error), "Is there a TLS listener at this port?") from None
        except TimeoutError:
            raise Unreachable(
                f"an answer within {REQUEST_SECONDS} s",
                "none",
                "Can this machine reach the front door (VPN, security group)? Else look in the log group.",
            ) from None
        except socket.gaierror:
            raise Unreachable(
                f"an address of {self.host}", "none", "Is the host right, and its DNS record there?"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"HTTP at {self.address}",
                f"{type(error).__name__}: {error}",
                "Is the URL right, and does the front door still exist?",
            ) from None
        except ValueError:
            # Its text would be what was to be sent.
            raise Failed("a request that HTTP can carry", "one that it cannot", "Which URL does it name?") from None

    def exchange(self, method: str, path: str, payload: bytes, headers: dict) -> Answer:
        connection = (
            http.client.HTTPSConnection(self.address, timeout=REQUEST_SECONDS, context=ssl.create_default_context())
            if self.is_tls
            else http.client.HTTPConnection(self.address, timeout=REQUEST_SECONDS)
        )
        try:
            connection.request(method, path, payload or None, headers)
            response = connection.getresponse()
            text = response.read(LARGEST_ANSWER).decode(errors="replace")
            received: dict[str, str] = {}
            for name, value in response.getheaders():
                name = name.lower()
                received[name] = f"{received[name]}, {value}" if name in received else value
            # A server may echo what it was sent. What is cut later would no longer be known for a secret.
            shown = {name: self.hide(value) for name, value in received.items()}
            return Answer(response.status, shown, self.hide(text))
        finally:
            connection.close()


def anonymous(_method: str, _url: str, _payload: bytes, _headers: dict) -> dict:
    return {}


def bearer(token: str) -> Callable[[str, str, bytes, dict], dict]:
    return lambda _method, _url, _payload, _headers: {"Authorization": f"Bearer {token}"}


def signed(credentials, region: str) -> Callable[[str, str, bytes, dict], dict]:
    """Signs with AWS credentials, for a Function URL (SigV4)."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    def sign(method: str, url: str, payload: bytes, headers: dict) -> dict:
        # Hops may change the other headers.
        names = {"Host", "Content-Type", ROLE_HEADER} & headers.keys()
        request = AWSRequest(method, url, headers={name: headers[name] for name in names}, data=payload)
        request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(payload).hexdigest()
        SigV4Auth(credentials.get_frozen_credentials(), "lambda", region).add_auth(request)
        return dict(request.headers.items())

    return sign


def is_session(arn: object, role: object) -> bool:
    """Whether an ARN is that of a session of a role. A role may have a path; its sessions have none."""
    named = ROLE.fullmatch(str(role))
    if not named:
        return False
    partition, account, _, name = named.groups()
    session = rf"arn:{partition}:sts::{account}:assumed-role/{re.escape(name)}/[A-Za-z0-9_+=,.@-]+"
    return re.fullmatch(session, str(arn)) is not None


@dataclass
class Smoke:
    """The checks, in the order in which a client would meet them. Each gives what it found."""

    endpoint: Endpoint
    headers: dict[str, str] = field(default_factory=dict)
    session: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def healthz(self) -> str:
        answer = self.endpoint.send("GET", f"{self.endpoint.base}/healthz")
        if answer.status != 200:
            raise Failed("200", answer.seen(), advice(answer))
        return "200"

    # Who is refused, and how that is said.

    def challenged(self, answer: Answer) -> tuple[str, bool]:
        """The challenge of a 401, and whether the front door renamed its header."""
        if answer.status == 200:
            raise Failed("401", answer.seen(), "The server lets everyone in: it must not run with --no-auth.")
        if answer.status != 401:
            raise Failed("401", answer.seen(), advice(answer))
        plain, renamed = answer.headers.get("www-authenticate"), answer.headers.get(REMAPPED)
        challenge = renamed or plain or ""
        if not challenge.startswith("Bearer"):
            raise Failed("WWW-Authenticate: Bearer …", challenge or "no such header", "Something between removes it.")
        return challenge, renamed is not None

    def challenge(self) -> str:
        answer = self.rpc_anonymously()
        challenge, is_renamed = self.challenged(answer)
        if is_renamed:
            self.warnings.append(
                "challenge: the front door renames WWW-Authenticate to x-amzn-remapped-www-authenticate. Clients that"
                " bring a token are not concerned; clients that sign in must look for the metadata document unasked."
            )
        named = re.search(r'resource_metadata="([^"]*)"', challenge)
        if not named:
            return f"401 {challenge} (names no metadata document)"
        self.document(named.group(1))
        if is_renamed:
            self.document_is_found_unasked()
        return f"401 {challenge}"

    def rpc_anonymously(self) -> Answer:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        return self.endpoint.send("POST", self.endpoint.mcp, body, authenticate=anonymous)

    def document(self, url: str) -> dict:
        """The document that a challenge names."""
        origin = self.endpoint.origin
        if not url.startswith(f"{origin}/"):
            raise Failed(f"a document below {origin}", url, "public_url of the deployment is not this URL.")
        answer = self.endpoint.send("GET", url.removeprefix(origin), authenticate=anonymous)
        if answer.status != 200:
            raise Failed(f"the document that the challenge names, {url}", answer.seen(), advice(answer))
        document = answer.json()
        resource = f"{origin}{self.endpoint.mcp}"
        if document.get("resource") != resource:
            raise Failed(f"resource {resource}", str(document.get("resource")), "public_url is not this URL.")
        if not document.get("authorization_servers"):
            raise Failed("authorization_servers", answer.seen(), "Clients could not sign in: configure an issuer.")
        return document

    def document_is_found_unasked(self) -> None:
        """Where RFC 9728 lets a client look that was told nothing: between the host and the path."""
        guess = f"{WELL_KNOWN}{self.endpoint.mcp}"
        if self.endpoint.send("GET", guess, authenticate=anonymous).status != 200:
            self.warnings.append(
                f"metadata: {guess}, where clients look unasked, is not answered: nobody can sign in with OAuth through"
                " this front door. Give it a custom domain without a path, and set public_url."
            )

    def metadata(self) -> str:
        answer = self.endpoint.send("GET", f"{self.endpoint.base}{WELL_KNOWN}/mcp", authenticate=anonymous)
        if answer.status == 404 and "authorization server" in answer.text:
            return "404: this server names no authorization server, so clients must bring a token"
        if answer.status != 200:
            raise Failed("the document, or 404 with Rolecall's sentence", answer.seen(), advice(answer))
        # One that is there must be named.
        challenge, _ = self.challenged(self.rpc_anonymously())
        if "resource_metadata=" not in challenge:
            raise Failed("a challenge that names the document", challenge, "Something between changes the challenge.")
        servers = self.document(f"{self.endpoint.origin}{self.endpoint.base}{WELL_KNOWN}/mcp")["authorization_servers"]
        return f"sign in at {', '.join(servers)}"

    def bad_token(self) -> str:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        answer = self.endpoint.send("POST", self.endpoint.mcp, body, authenticate=bearer("not-a-token"))
        challenge, _ = self.challenged(answer)
        if 'error="invalid_token"' not in challenge:
            raise Failed(
                'error="invalid_token"', challenge, "The token did not reach Rolecall: see what stands between."
            )
        return "401 invalid_token"

    def unsigned(self) -> str:
        answer = self.rpc_anonymously()
        if answer.status != 403:
            raise Failed("403 from AWS", answer.seen(), "The front door must ask for signatures: AuthType AWS_IAM.")
        return "403, before it reaches the function"

    # Who is let in.

    def rpc(self, method: str, params: dict, headers: dict) -> dict:
        """The result of a request."""
        body = {"jsonrpc": "2.0", "id": next(self.ids), "method": method, "params": params}
        answer = self.endpoint.send("POST", self.endpoint.mcp, body, self.headers | headers)
        if answer.status != 200:
            raise Failed(f"200 to {method}", answer.seen(), advice(answer))
        message = answer.json()
        if (message.get("jsonrpc"), message.get("id")) != ("2.0", body["id"]):
            raise Failed(
                f"JSON-RPC 2.0 with the id {body['id']}",
                answer.seen(),
                "Something between keeps or changes answers: no cache may stand before the server.",
            )
        result = message.get("result")
        if not isinstance(result, dict):
            raise Failed(f"a result of {method}", answer.seen(), "This is no Rolecall, or not of this version.")
        if session := answer.headers.get("mcp-session-id"):
            self.session["Mcp-Session-Id"] = session
        return result

    def legacy(self, method: str, params: dict) -> dict:
        return self.rpc(method, params, {"MCP-Protocol-Version": LEGACY} | self.session)

    def modern(self, method: str, params: dict) -> dict:
        envelope = {"protocolVersion": MODERN, "clientInfo": CLIENT, "clientCapabilities": {}}
        params = params | {"_meta": {f"io.modelcontextprotocol/{name}": value for name, value in envelope.items()}}
        headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
        if name := params.get("name"):
            headers["Mcp-Name"] = name
        return self.rpc(method, params, headers)

    def initialize(self) -> str:
        params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT}
        result = self.rpc("initialize", params, {})
        server = result.get("serverInfo", {})
        if result.get("protocolVersion") != LEGACY or server.get("name") != "rolecall":
            raise Failed(f"rolecall, {LEGACY}", json.dumps(result)[:300], "Something that is not Rolecall answers.")
        body = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        headers = self.headers | {"MCP-Protocol-Version": LEGACY} | self.session
        answer = self.endpoint.send("POST", self.endpoint.mcp, body, headers)
        if answer.status != 202:
            raise Failed("202 to notifications/initialized", answer.seen(), advice(answer))
        return f"rolecall {server.get('version')}, {LEGACY}"

    def discover(self) -> str:
        result = self.modern("server/discover", {})
        if MODERN not in result.get("supportedVersions", []):
            raise Failed(MODERN, json.dumps(result)[:300], "This Rolecall is of another version.")
        return MODERN

    def tools(self, ask: Callable[[str, dict], dict]) -> str:
        names = [tool.get("name") for tool in ask("tools/list", {}).get("tools", [])]
        if "whoami" not in names or "auth_status" not in names:
            raise Failed("whoami and auth_status", ", ".join(map(str, names)) or "no tools", "This is no Rolecall.")
        return f"{len(names)} tools"

    def call(self, ask: Callable[[str, dict], dict], tool: str) -> dict:
        result = ask("tools/call", {"name": tool, "arguments": {}})
        if result.get("isError"):
            text = " ".join(part.get("text", "") for part in result.get("content", []))
            raise ToolFailed(f"an answer of {tool}", text[:400], "The log group has the reason.")
        return result.get("structuredContent", {})

    def whoami(self, ask: Callable[[str, dict], dict]) -> str:
        who = self.call(ask, "whoami")
        if not who.get("subject"):
            raise Failed("a subject", json.dumps(who)[:300], "The server does not know its callers.")
        return f"{who['subject']} of {who.get('issuer')}, role {who.get('role') or 'none'}"

    def aws(self) -> str:
        """The caller's role, used."""
        role, asked = self.call(self.modern, "whoami").get("role"), self.headers.get(ROLE_HEADER)
        if asked and role != asked:
            raise Failed(
                f"the role that is asked for, {asked}",
                str(role or "no role"),
                f"The server acts as another role than it is told to: something between removes {ROLE_HEADER}, or this"
                " is no Rolecall.",
            )
        if not role:
            self.warnings.append(
                "aws: this caller has no AWS role, so nothing was tried with one. Use a token with a role, or ROLE=…"
            )
            return "not tried"
        try:
            status = self.call(self.modern, "auth_status")
        except ToolFailed as failed:
            raise Failed(
                "credentials of the role",
                failed.came,
                f"Name {role} in assumable_role_arns, and let it trust the execution role as the output"
                " role_trust_policy says.",
            ) from None
        arn = (status.get("aws") or {}).get("arn")
        if not is_session(arn, role):
            raise Failed(
                f"a session of {role}",
                str(arn or "no ARN"),
                f"The server acts as {arn or 'somebody whom it does not name'}, not as your role: let nobody call it,"
                " and deploy the package that make package builds.",
            )
        return f"AWS says {arn}"

    def checks(self, is_signed: bool) -> list[tuple[str, Callable[[], str]]]:
        refusals = (
            [("unsigned requests", self.unsigned)]
            if is_signed
            else [
                ("challenge", self.challenge),
                ("metadata", self.metadata),
                ("bad token", self.bad_token),
            ]
        )
        return [
            ("healthz", self.healthz),
            *refusals,
            (f"{LEGACY} initialize", self.initialize),
            (f"{LEGACY} tools/list", lambda: self.tools(self.legacy)),
            (f"{LEGACY} tools/call whoami", lambda: self.whoami(self.legacy)),
            (f"{MODERN} server/discover", self.discover),
            (f"{MODERN} tools/list", lambda: self.tools(self.modern)),
            (f"{MODERN} tools/call whoami", lambda: self.whoami(self.modern)),
            ("aws", self.aws),
        ]


def run(smoke: Smoke, is_signed: bool, say: Callable[[str], None]) -> int:
    """Runs all checks; gives how many failed."""
    failures = 0
    said: dict[str, str] = {}
    for name, check in smoke.checks(is_signed):
        try:
            say(f"ok      {name}: {check()}")
        except Unreachable as failed:
            say(f"FAILED  {name}: {failed.sentence(said)}")
            return failures + 1
        except Failed as failed:
            failures += 1
            say(f"FAILED  {name}: {failed.sentence(said)}")
            said.setdefault(failed.todo, name)
        for warning in smoke.warnings:
            say(f"WARNING {warning}")
        smoke.warnings.clear()
    return failures


def target(url: str, connect: str | None) -> SplitResult:
    """The URL, if a token may be sent there. What is refused may hold a secret, and is not printed."""
    try:
        parts = urlsplit(url) if url.isascii() else None
    except ValueError:
        parts = None
    if not parts or parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        sys.exit("URL must be the URL that clients use, such as https://mcp.example.com/mcp.")
    if "@" in parts.netloc:
        sys.exit("URL must hold neither user nor password: take them out; a token belongs in the variable TOKEN.")
    is_loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "http" and not is_loopback and not connect:
        sys.exit("URL must begin with https:// unless it is on this machine: a token must not travel in the clear.")
    if connect and not LOOPBACK.fullmatch(connect):
        sys.exit("--connect must be a port of this machine, such as 127.0.0.1:8080: the token goes there in the clear.")
    return parts


def signer(arguments: argparse.Namespace, host: str) -> tuple[Callable[[str, str, bytes, dict], dict], list[str]]:
    """How to sign for this URL, with the credentials of the environment or profile; and what must not be printed."""
    try:
        import botocore.session
    except ImportError:
        sys.exit("SIGV4=1 needs botocore: make smoke installs it.")
    session = botocore.session.get_session()
    named = re.search(r"\.lambda-url\.([a-z0-9-]+)\.", host)
    region = arguments.region or (named and named.group(1)) or session.get_config_variable("region")
    if not re.fullmatch(r"[a-z0-9-]+", region or ""):
        sys.exit("A region to sign for is needed, and the URL names none: REGION=us-east-1, or the like.")
    credentials = session.get_credentials()
    if not credentials:
        sys.exit("There are no AWS credentials to sign with: set AWS_PROFILE, or sign in.")
    frozen = credentials.get_frozen_credentials()
    hidden = [secret for secret in (frozen.secret_key, frozen.token) if secret]
    if not all(TOKEN.fullmatch(part) for part in (frozen.access_key, *hidden)):
        sys.exit("The AWS credentials hold a character that none has, a line break perhaps: copy them again.")
    return signed(credentials, region), hidden


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks a deployed Rolecall, as its clients would meet it.")
    parser.add_argument("url", metavar="URL", help="the URL that clients use (output mcp_url)")
    parser.add_argument("--connect", metavar="HOST:PORT", help="connect there, by plain HTTP, for tests")
    parser.add_argument("--sigv4", action="store_true", help="sign with AWS credentials, in place of a token")
    parser.add_argument("--role", metavar="ARN", help=f"the role to name as {ROLE_HEADER}")
    parser.add_argument("--region", help="with --sigv4: the front door's region, where its host does not say")
    arguments, rest = parser.parse_known_args()
    if rest:
        parser.error("there is one argument, URL; a token belongs in the variable TOKEN")
    parts = target(arguments.url, arguments.connect)
    if arguments.role and not ROLE.fullmatch(arguments.role):
        sys.exit("ROLE must be the ARN of a role, such as arn:aws:iam::111122223333:role/QuiltReader.")
    token = os.environ.get("TOKEN", "").strip()
    if arguments.sigv4:
        authenticate, hidden = signer(arguments, parts.hostname)
    elif TOKEN.fullmatch(token):
        authenticate, hidden = bearer(token), [token]
    elif token:
        sys.exit(
            "TOKEN must be the token and nothing else: letters, digits and ._~+/=- in one line. Take out quotes, spaces,"
            " line breaks, and the word Bearer."
        )
    else:
        sys.exit("A token is needed: TOKEN=… make smoke URL=…; or, for signed requests, make smoke URL=… SIGV4=1.")

    def hide(text: str) -> str:
        for secret in hidden:
            text = text.replace(secret, "[secret]")
        return text

    def say(line: str) -> None:
        print(hide(line), flush=True)

    smoke = Smoke(Endpoint(parts, arguments.connect, authenticate, hide))
    if arguments.role:
        smoke.headers[ROLE_HEADER] = arguments.role
    say(f"Clients connect to {smoke.endpoint.origin}{smoke.endpoint.mcp}")
    failures = run(smoke, arguments.sigv4, say)
    say(f"{failures} failed" if failures else "Nothing failed.")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
