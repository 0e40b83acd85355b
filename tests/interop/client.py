"""The Python client as a program: does what the first line of its standard input says, and prints one line of what it saw.

It judges nothing; tests/it/interop does. Both lines are described in tests/it/interop/client.rs.
"""

import json
import sys

import anyio
from jsonschema import Draft202012Validator
from mcp import Client, StdioServerParameters
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken


class Token:
    """Where the client finds its token, and puts nothing."""

    def __init__(self, token: str) -> None:
        self.token = OAuthToken(access_token=token)

    async def get_tokens(self) -> OAuthToken:
        return self.token

    async def set_tokens(self, tokens: OAuthToken) -> None:
        pass

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        pass


def plain(model) -> dict:
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def failure(error: BaseException) -> dict:
    # What a task group collects comes wrapped.
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return {"kind": type(error).__name__, "code": getattr(error, "code", None), "message": str(error)}


def tools(found: list[dict]) -> dict:
    """The tools, and what a validator of JSON Schema says of their schemas."""
    validator = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    schemas = [(tool["name"], tool[kind]) for tool in found for kind in ("inputSchema", "outputSchema")]
    faults = [f"{name}: {fault.message}" for name, schema in schemas for fault in validator.iter_errors(schema)]
    return {"tools": found, "faults": faults}


async def call(client: Client, step: dict) -> dict:
    progress = []
    reported = anyio.Event()

    async def note(done: float, total: float | None, message: str | None) -> None:
        progress.append({"progress": done, "total": total, "message": message})
        reported.set()

    callback = note if step.get("progress") else None
    seen = {"error": {"kind": "cancelled", "code": None, "message": ""}}
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            if step.get("cancel"):
                tasks.start_soon(cancel_when_told, scope, reported)
            try:
                result = await client.call_tool(step["call"], step["arguments"], progress_callback=callback)
                seen = {"result": plain(result)}
            except Exception as error:
                seen = {"error": failure(error)}
            tasks.cancel_scope.cancel()
    return seen | {"progress": progress}


async def cancel_when_told(scope: anyio.CancelScope, reported: anyio.Event) -> None:
    await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
    await reported.wait()
    scope.cancel()


async def perform(client: Client, step: dict) -> dict:
    if step.get("wait"):
        await anyio.to_thread.run_sync(sys.stdin.readline)
    if step.get("list"):
        return tools(plain(await client.list_tools())["tools"])
    return await call(client, step)


async def converse(client: Client, plan: dict) -> dict:
    async with client:
        return {
            "era": None,
            "version": client.protocol_version,
            "server": plain(client.server_info) if client.server_info else None,
            "steps": [await perform(client, step) for step in plan["steps"]],
        }


async def run(plan: dict) -> dict:
    if "command" in plan:
        server = StdioServerParameters(command=plan["command"], args=plan["args"], env=plan["env"])
        return await converse(Client(server, mode=plan["mode"]), plan)
    metadata = OAuthClientMetadata(redirect_uris=["http://localhost/callback"])
    auth = OAuthClientProvider(plan["url"], metadata, Token(plan["token"]))
    async with create_mcp_http_client(auth=auth) as http:
        transport = streamable_http_client(plan["url"], http_client=http)
        return await converse(Client(transport, mode=plan["mode"]), plan)


def main() -> None:
    plan = json.loads(sys.stdin.readline())
    try:
        seen = {"seen": anyio.run(run, plan)}
    except Exception as error:
        seen = {"refused": failure(error)}
    print(json.dumps(seen), flush=True)


main()
