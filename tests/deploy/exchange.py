"""What passes through a front door: a client's request, and the function's answer in both of its forms.

An answer is read as strictly as it can be read; one that is not in order is a `BadAnswer`.
Sources: API Gateway developer guide, "Set up a Lambda proxy integration with payload response streaming"; Lambda
developer guide, "Response streaming"; Elastic Load Balancing user guide, "Use Lambda functions as targets of an
Application Load Balancer".
"""

import base64
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPResponse

PRELUDE_LIMIT = 16_384
BOUNDARY = b"\0" * 8
# The client's address, as far as the function learns it.
CLIENT = "203.0.113.7"


class BadAnswer(Exception):
    """An answer that a front door does not take."""


@dataclass
class Request:
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for other, value in self.headers if other.lower() == name.lower()), None)

    def lists(self, rename: Callable[[str], str] = str) -> dict[str, list[str]]:
        """The headers, as they came and what a front door adds, by name; names are those of the first of each."""
        lists: dict[str, tuple[str, list[str]]] = {}
        added = [
            ("X-Forwarded-For", CLIENT),
            ("X-Forwarded-Port", "443"),
            ("X-Forwarded-Proto", "https"),
            ("X-Amzn-Trace-Id", f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}"),
        ]
        for name, value in self.headers + added:
            lists.setdefault(name.lower(), (rename(name), []))[1].append(value)
        return dict(lists.values())

    def event_body(self) -> tuple[str | None, bool]:
        """The body, and whether it is base64."""
        if not self.body:
            return None, False
        kind = (self.header("Content-Type") or "").lower()
        if kind.startswith(("text/", "application/json", "application/xml", "application/javascript")):
            return self.body.decode(), False
        return base64.b64encode(self.body).decode(), True


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    # In parts, as they come.
    body: Iterator[bytes]


def refusal(status: int, body: str, kind: str = "application/json") -> Answer:
    """What a front door says by itself."""
    return Answer(status, [("Content-Type", kind)], iter([body.encode()]))


def header_pairs(headers: object, multiple: object) -> Iterator[tuple[str, str]]:
    """The headers of an answer: single values and lists."""
    for name, value in (headers or {}).items():
        if not isinstance(value, str):
            raise BadAnswer(f"the header {name} is {type(value).__name__}")
        yield name, value
    for name, values in (multiple or {}).items():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise BadAnswer(f"the header {name} is no list of strings")
        yield from ((name, value) for value in values)


def status_of(answer: dict) -> int:
    status = answer.get("statusCode")
    if type(status) is not int or not 100 <= status <= 599:
        raise BadAnswer(f"statusCode is {status!r}")
    return status


def buffered(text: bytes, members: tuple[str, ...]) -> Answer:
    """An answer that is whole: a JSON document, with just the members of its front door."""
    try:
        answer = json.loads(text)
    except ValueError:
        raise BadAnswer(f"not JSON: {text[:80]!r}") from None
    if not isinstance(answer, dict) or answer.keys() != {"statusCode", "body", "isBase64Encoded", *members}:
        raise BadAnswer(f"members: {sorted(answer)}")
    status = status_of(answer)
    description = answer.get("statusDescription", f"{status} ok")
    if not description.startswith(f"{status} ") or len(description) < 5:
        raise BadAnswer(f"statusDescription is {description!r}")
    headers = list(header_pairs(answer.get("headers"), answer.get("multiValueHeaders")))
    if type(answer["isBase64Encoded"]) is not bool or not isinstance(answer["body"], str):
        raise BadAnswer("body or isBase64Encoded")
    body = base64.b64decode(answer["body"], validate=True) if answer["isBase64Encoded"] else answer["body"].encode()
    return Answer(status, headers, iter([body]))


def streamed(response: HTTPResponse) -> Answer:
    """An answer that is streamed: a JSON prelude, eight NUL bytes, then the body as it comes."""
    head = b""
    while BOUNDARY not in head:
        part = response.read1(PRELUDE_LIMIT)
        if not part or len(head) > PRELUDE_LIMIT:
            raise BadAnswer(f"no prelude within {PRELUDE_LIMIT} bytes: {head[:80]!r}")
        head += part
    prelude, _, first = head.partition(BOUNDARY)
    try:
        answer = json.loads(prelude)
    except ValueError:
        raise BadAnswer(f"the prelude is not JSON: {prelude[:80]!r}") from None
    if not isinstance(answer, dict) or answer.keys() - {"statusCode", "headers", "multiValueHeaders", "cookies"}:
        raise BadAnswer(f"the prelude: {prelude[:200]!r}")
    headers = list(header_pairs(answer.get("headers"), answer.get("multiValueHeaders")))

    def body() -> Iterator[bytes]:
        if first:
            yield first
        while part := response.read1(65_536):
            yield part

    return Answer(status_of(answer), headers, body())
