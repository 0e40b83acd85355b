"""`make package-check`: proves what `make package` promises.

In: both packages, as package.py left them in FOLDER. Each zip is read again, and its program is started: the other
processor's by qemu-user. Faults are planted in copies, and each must be found. Then this host's own package is built a
second time, from a copy of the tree in another folder, with other folders for cargo and zig, among variables that would
change the program if they reached the build, and must be the same, byte for byte.

Usage: package_check.py FOLDER
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import package
from package import ARCHITECTURES, ROOT, Architecture

VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
START_SECONDS = 60
# What others may have set: of cargo, of rustc, of a C compiler, of a crate that reads it with `option_env!`.
HOSTILE = {
    "CARGO_PROFILE_RELEASE_OPT_LEVEL": "1",
    "CARGO_PROFILE_RELEASE_STRIP": "none",
    "RUSTFLAGS": "-C debug-assertions",
    "CFLAGS": "-O0 -DNDEBUG",
}


def configuration() -> str:
    """The least with which `serve` starts, on any address."""
    issuer = {"issuer": "https://idp.example.com", "jwks": "discover"}
    return json.dumps({"server": {"publicUrl": "https://mcp.example.com"}, "auth": {"issuers": [issuer]}})


def starter(architecture: Architecture) -> list[str]:
    """What starts a program of the architecture here."""
    if architecture is package.host():
        return []
    emulator = {"x86_64": "qemu-x86_64", "arm64": "qemu-aarch64"}[architecture.name]
    for name in (emulator, f"{emulator}-static"):
        if found := shutil.which(name):
            return [found]
    sys.exit(f"{architecture.name}: {emulator} is missing, which starts it here: `make package-tools`")


@contextlib.contextmanager
def listening(command: list[str], environment: dict[str, str]) -> Iterator[str]:
    """A server that says where it listens. It must end well when it is told to."""
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        limit = threading.Timer(START_SECONDS, server.kill)
        limit.start()
        try:
            said, url = [], None
            for line in server.stderr:
                said.append(line)
                if found := re.search(r"listening on (http://[0-9.]+:\d+)", line):
                    url = found.group(1)
                    break
            if url:
                yield url
                server.send_signal(signal.SIGTERM)
            said += server.stderr.readlines()
            if server.wait() or not url:
                sys.exit(f"{command} ended with {server.returncode}, having said:\n{''.join(said)}")
        finally:
            limit.cancel()
            server.kill()


def check_health(document: bytes) -> None:
    health = json.loads(document)
    assert health["status"] == "ok" and health["server"]["version"] == VERSION, health


def check_start(architecture: Architecture, binary: Path) -> None:
    command = [*starter(architecture), str(binary)]
    version = package.run(*command, "--version", env={})
    assert version == f"rolecall {VERSION}", version
    # On all addresses, as a container does: what production refuses, is refused here.
    with listening([*command, "serve", "--listen", "0.0.0.0:0"], {"ROLECALL_CONFIG": configuration()}) as url:
        with urllib.request.urlopen(f"{url}/healthz", timeout=20) as answer:
            check_health(answer.read())
    print(f"{architecture.name}: starts, and answers /healthz")


def check_planted(architecture: Architecture, program: bytes) -> None:
    """Faults that a package must not have, each with what must be said of it."""
    other = next(it for it in ARCHITECTURES if it is not architecture)
    newer = program.replace(b"GLIBC_2.34\0", b"GLIBC_2.36\0")
    assert newer != program
    planted = {
        "the entry's time": package.zipped(program, date=(2026, 1, 1, 0, 0, 0)),
        "the entry's mode": package.zipped(program, mode=0o100644),
        "`bootstrap` and nothing else": package.zipped(program, name="rolecall"),
        "needs glibc 2.36": package.zipped(newer),
        "needs GLIBC_ABI_DT_RELR": package.zipped(program + b"\0GLIBC_ABI_DT_RELR\0"),
        "names a folder": package.zipped(program + f"{ROOT}/src/main.rs".encode()),
    }
    for expected, contents in planted.items():
        found = package.mistakes(contents, architecture, [str(ROOT)])
        assert len(found) == 1 and expected in found[0], (expected, found)
    assert package.mistakes(package.zipped(program), other, []) == [f"`bootstrap` is no program for {other.name}"]
    print(f"{architecture.name}: {len(planted) + 1} planted faults are found")


def check_again(architecture: Architecture, original: Path, folder: Path) -> None:
    """Builds from a copy, as if on another machine."""
    begun = time.monotonic()
    listed = package.run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    with tempfile.TemporaryDirectory(dir=folder, prefix="again-") as other:
        tree, cargo = Path(other) / "elsewhere/tree", Path(other) / "cargo"
        for name in filter(None, listed.split("\0")):
            if (source := ROOT / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, tree / name)
        # Another home of cargo's, that holds the same crates.
        cargo.mkdir()
        for entry in Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")).iterdir():
            (cargo / entry.name).symlink_to(entry)
        subprocess.run(
            [sys.executable, tree / "scripts/package.py", tree / "target", architecture.name],
            env=os.environ | HOSTILE | {"CARGO_HOME": str(cargo)}, check=True, timeout=package.LIMIT_SECONDS,
        )  # fmt: skip
        again = (tree / "target/lambda" / architecture.name / "bootstrap.zip").read_bytes()
    assert again == original.read_bytes(), f"{architecture.name}: a second build differs from {original}"
    print(f"{architecture.name}: a build elsewhere is the same, byte for byte ({time.monotonic() - begun:.0f} s)")


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    for architecture in ARCHITECTURES:
        made = folder / "lambda" / architecture.name
        if not (made / "bootstrap.zip").exists():
            sys.exit(package.missing(architecture))
        program = (made / "bootstrap").read_bytes()
        found = package.mistakes((made / "bootstrap.zip").read_bytes(), architecture, [str(ROOT), str(folder)])
        assert not found, found
        assert package.zipped(program) == (made / "bootstrap.zip").read_bytes(), "the zip holds another program"
        check_start(architecture, made / "bootstrap")
        check_planted(architecture, program)
    own = package.host()
    if not own:
        sys.exit("this host is of neither architecture")
    check_again(own, folder / "lambda" / own.name / "bootstrap.zip", folder)


if __name__ == "__main__":
    main()
