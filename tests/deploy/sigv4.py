"""Who signed a request: what AWS finds at a front door that asks for signatures.

Source: IAM user guide, "Create a signed AWS API request".
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

from exchange import Request


@dataclass
class Signer:
    """Somebody with AWS credentials."""

    arn: str
    account: str
    user_id: str
    access_key: str
    secret_key: str
    token: str


def signer_of(request: Request, signers: list[Signer], region: str, service: str) -> Signer | None:
    """Who signed a request with SigV4; nobody where the signature is not in order."""
    kind, _, rest = (request.header("Authorization") or "").partition(" ")
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    scope = parts.get("Credential", "").split("/")
    signer = next((one for one in signers if one.access_key == scope[0]), None)
    stamp = request.header("X-Amz-Date") or ""
    names = parts.get("SignedHeaders", "").split(";")
    if kind != "AWS4-HMAC-SHA256" or signer is None or "host" not in names:
        return None
    if (
        scope[1:] != [stamp[:8], region, service, "aws4_request"]
        or request.header("X-Amz-Security-Token") != signer.token
    ):
        return None
    try:
        age = abs((datetime.now(UTC) - datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)).total_seconds())
    except ValueError:
        return None
    query = "&".join(
        sorted(
            f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
            for name, value in parse_qsl(request.query, keep_blank_values=True)
        )
    )
    canonical = "\n".join(
        [
            request.method,
            quote(request.path, safe="/-_.~"),
            query,
            *(f"{name}:{' '.join((request.header(name) or '').split())}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    to_sign = "\n".join([kind, stamp, "/".join(scope[1:]), hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{signer.secret_key}".encode()
    for part in scope[1:]:
        key = hmac.digest(key, part.encode(), "sha256")
    is_right = hmac.compare_digest(hmac.digest(key, to_sign.encode(), "sha256").hex(), parts.get("Signature", ""))
    return signer if is_right and age < 300 else None
