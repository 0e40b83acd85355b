"""The test of the smoke test: what goes wrong between a client and Rolecall, and which checks must then fail.

Each fault changes what a front door gives its clients, one thing at a time; the checks that fail must be exactly those
that are named, so that no check is without effect and none fails for another's reason.
"""

import json
from collections.abc import Callable
from dataclasses import replace

from exchange import Answer, Request, refusal

Fault = Callable[[Request, Answer], Answer]

ERAS = ("2025-11-25", "2026-07-28")
OTHER_ROLE = "arn:aws:iam::111111111111:role/other"
OTHER_SESSION = "arn:aws:sts::111111111111:assumed-role/other/session"
DOCUMENT = "/.well-known/oauth-protected-resource/mcp"
WHOAMI = [f"{era} tools/call whoami" for era in ERAS]
LISTS = [f"{era} tools/list" for era in ERAS]
INITIALIZE, DISCOVER = f"{ERAS[0]} initialize", f"{ERAS[1]} server/discover"
# What is asked with the caller's token.
ASKED = [INITIALIZE, LISTS[0], WHOAMI[0], DISCOVER, LISTS[1], WHOAMI[1], "aws"]


def message(request: Request) -> dict:
    return json.loads(request.body) if request.body else {}


def asks(request: Request, method: str, tool: str | None = None) -> bool:
    sent = message(request)
    return sent.get("method") == method and (tool is None or sent["params"]["name"] == tool)


def edited(answer: Answer, edit: Callable[[dict], None]) -> Answer:
    """The answer with its JSON changed."""
    value = json.loads(b"".join(answer.body))
    edit(value)
    return replace(answer, body=iter([json.dumps(value).encode()]))


def at(path: str, status: int) -> Fault:
    """Another status for a path."""
    return lambda request, answer: replace(answer, status=status) if request.path.endswith(path) else answer


def of(method: str, edit: Callable[[dict], None], tool: str | None = None) -> Fault:
    """Another result of a method."""
    return lambda request, answer: (
        edited(answer, lambda value: edit(value["result"]))
        if answer.status == 200 and asks(request, method, tool)
        else answer
    )


def challenge(change: Callable[[str], str | None]) -> Fault:
    """Another challenge."""

    def fault(_request: Request, answer: Answer) -> Answer:
        headers = [
            (name, change(value) if name.lower() == "www-authenticate" else value) for name, value in answer.headers
        ]
        return replace(answer, headers=[(name, value) for name, value in headers if value is not None])

    return fault


def lets_everyone_in(_request: Request, answer: Answer) -> Answer:
    return replace(answer, status=200) if answer.status == 401 else answer


def loses_notifications(request: Request, answer: Answer) -> Answer:
    return replace(answer, status=404) if asks(request, "notifications/initialized") else answer


def other_resource(request: Request, answer: Answer) -> Answer:
    is_document = request.path == DOCUMENT
    return (
        edited(answer, lambda value: value.update(resource="https://other.example.com/mcp")) if is_document else answer
    )


def answers(edit: Callable[[dict], None]) -> Fault:
    """Another message in answer to each request."""
    return lambda request, answer: (
        edited(answer, edit) if answer.status == 200 and "id" in message(request) else answer
    )


def acts_as(change: Callable[[str], str | None]) -> Fault:
    """Another ARN that AWS is said to know the caller by."""

    def edit(result: dict) -> None:
        result["structuredContent"]["aws"]["arn"] = change(result["structuredContent"]["aws"]["arn"])

    return of("tools/call", edit, "auth_status")


def takes_another_role(request: Request, answer: Answer) -> Answer:
    """The role of another, told and used."""
    told = of("tools/call", lambda result: result["structuredContent"].update(role=OTHER_ROLE), "whoami")
    used = acts_as(lambda _: OTHER_SESSION)
    return used(request, told(request, answer))


def adds_challenge(request: Request, answer: Answer) -> Answer:
    """A challenge of the front door's own, before the server's."""
    own = [("WWW-Authenticate", "Basic realm=x")] if answer.status == 401 else []
    return replace(answer, headers=own + answer.headers)


def echoes(request: Request, answer: Answer) -> Answer:
    """An error with the headers of the request, to whoever brings a token."""
    if not request.header("Authorization"):
        return answer
    return refusal(400, json.dumps({name.lower(): value for name, value in sorted(request.headers)}))


def tool_echoes(request: Request, answer: Answer) -> Answer:
    """A tool's error with the token at its end."""
    text = "the request: " + "-" * 200 + (request.header("Authorization") or "")
    failed = {"isError": True, "content": [{"type": "text", "text": text}]}
    return of("tools/call", lambda result: result.update(failed))(request, answer)


def nobody(result: dict) -> None:
    result["structuredContent"]["subject"] = None


# Name, fault, the checks that must fail.
FAULTS: list[tuple[str, Fault, list[str]]] = [
    ("healthz answers 503", at("/healthz", 503), ["healthz"]),
    ("the challenge is removed", challenge(lambda _: None), ["challenge", "metadata", "bad token"]),
    ("the challenge is another's", challenge(lambda _: "Basic realm=x"), ["challenge", "metadata", "bad token"]),
    (
        "the challenge names no document",
        challenge(lambda value: value.split(" ")[0] + ' error="invalid_token"'),
        ["metadata"],
    ),
    (
        "the challenge names another host's document",
        challenge(lambda value: value.replace("https://", "https://other.")),
        ["challenge"],
    ),
    (
        "the challenge does not say invalid_token",
        challenge(lambda value: value.replace("invalid_token", "invalid_request")),
        ["bad token"],
    ),
    ("another challenge comes first", adds_challenge, ["challenge", "metadata", "bad token"]),
    ("the document is lost", at(DOCUMENT, 404), ["challenge", "metadata"]),
    ("the document is of another resource", other_resource, ["challenge", "metadata"]),
    ("everyone is let in", lets_everyone_in, ["challenge", "metadata", "bad token"]),
    (
        "another server initializes",
        of("initialize", lambda result: result["serverInfo"].update(name="other")),
        [INITIALIZE],
    ),
    ("notifications are lost", loses_notifications, [INITIALIZE]),
    (
        "another revision is discovered",
        of("server/discover", lambda result: result.update(supportedVersions=[])),
        [DISCOVER],
    ),
    ("tools are lost", of("tools/list", lambda result: result.update(tools=[])), LISTS),
    ("whoami fails", of("tools/call", lambda result: result.update(isError=True), "whoami"), [*WHOAMI, "aws"]),
    ("whoami knows nobody", of("tools/call", nobody, "whoami"), WHOAMI),
    ("the role does not work", of("tools/call", lambda result: result.update(isError=True), "auth_status"), ["aws"]),
    (
        "MCP is not found",
        at("/mcp", 404),
        ["challenge", "metadata", "bad token", *ASKED],
    ),
    ("answers have another id", answers(lambda value: value.update(id=0)), ASKED),
    ("answers are of another JSON-RPC", answers(lambda value: value.update(jsonrpc="1.0")), ASKED),
    ("AWS does not say who the caller is", acts_as(lambda _: None), ["aws"]),
    (
        "the caller acts as the execution role",
        acts_as(lambda _: "arn:aws:sts::123456789012:assumed-role/rolecall-http/instance"),
        ["aws"],
    ),
    (
        "the caller acts as another role of the account",
        acts_as(lambda arn: arn.replace("-caller/", "-caller2/")),
        ["aws"],
    ),
    (
        "the caller acts as a role of that name in another account",
        acts_as(lambda arn: arn.replace("::1", "::2")),
        ["aws"],
    ),
    (
        "the caller acts as a user",
        acts_as(lambda arn: arn.replace("sts", "iam").replace("assumed-role", "user")),
        ["aws"],
    ),
    ("the role that is asked for is not taken", takes_another_role, ["aws"]),
    ("the token is echoed in an error", echoes, ["healthz", "bad token", *ASKED]),
    ("the token is echoed by a tool", tool_echoes, [*WHOAMI, "aws"]),
]
