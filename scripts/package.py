"""`make package`: the zip that Lambda runs, for each architecture.

In: the checked-out tree, the tools of scripts/package.txt, and a compiler that has the architecture's standard library.
Out, in FOLDER: `lambda/<architecture>/bootstrap.zip`, beside it the `bootstrap` that is in it, and the same program for
the Dockerfile as `container/<Docker's name of the architecture>/rolecall`. From one tree and one compiler come the same
bytes, wherever and whenever they are built: zig brings the linker and the C library, the zip's times are fixed, no path of
this machine is in the program, and no variable that could change it reaches the build.

Usage: package.py FOLDER [ARCHITECTURE]. Without one, all that this host can build; its own it must.
"""

import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# That of Amazon Linux 2023, which provided.al2023 is.
GLIBC = (2, 34)
EPOCH = (1980, 1, 1, 0, 0, 0)
MODE = 0o100755
LIMIT_SECONDS = 3600
# What a build needs to find its tools and its crates, and how many processors it may take. Of all other variables, none
# reaches it: cargo's profiles and flags, a C compiler's (of ring), and what a crate reads of its own are in the bytes.
NEEDED = re.compile(
    r"""PATH | HOME | TMPDIR | LD_LIBRARY_PATH | CARGO_HOME | CARGO_BUILD_JOBS | RUSTUP_\w+
    | CARGO_(HTTP|NET|REGISTRY|REGISTRIES)_\w+ | (HTTPS?|ALL|NO)_PROXY | SSL_CERT_(FILE|DIR)""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class Architecture:
    """One of Lambda's, with the names that it goes by elsewhere."""

    name: str
    docker: str
    target: str
    # `e_machine` of an ELF header.
    elf: int
    # What Python's `platform.machine` says.
    machines: tuple[str, ...]


X86_64 = Architecture("x86_64", "amd64", "x86_64-unknown-linux-gnu", 62, ("x86_64", "AMD64"))
ARM64 = Architecture("arm64", "arm64", "aarch64-unknown-linux-gnu", 183, ("aarch64", "arm64"))
ARCHITECTURES = (X86_64, ARM64)


@dataclass(frozen=True)
class Package:
    """What was built."""

    architecture: Architecture
    zip: Path
    binary: Path
    compiler: str
    seconds: float

    def __str__(self) -> str:
        packed, program = self.zip.read_bytes(), self.binary.read_bytes()
        needed = ".".join(map(str, max(glibc_versions(program), default=())))
        return (
            f"{self.architecture.name}: {self.zip}\n"
            f"  {len(packed)} bytes, the program {len(program)}; glibc {needed} or newer\n"
            f"  sha256 {hashlib.sha256(packed).hexdigest()}, the program's {hashlib.sha256(program).hexdigest()}\n"
            f"  built in {self.seconds:.0f} s with {self.compiler}"
        )


def host() -> Architecture | None:
    return next((it for it in ARCHITECTURES if platform.machine() in it.machines), None)


def run(*command: str, **options: object) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=600, **options).stdout.strip()


def compiler(target: str) -> str | None:
    """A compiler that has the target's standard library: the usual one, or Debian's. Nothing is downloaded."""
    for rustc in (os.environ.get("RUSTC", "rustc"), "/usr/bin/rustc"):
        if shutil.which(rustc):
            found = subprocess.run(
                [rustc, "--print", "target-libdir", "--target", target],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=60,
            )  # fmt: skip
            if found.returncode == 0 and any(Path(found.stdout.strip()).glob("libstd-*.rlib")):
                return rustc
    return None


def missing(architecture: Architecture) -> str:
    target = architecture.target
    return (
        f"{architecture.name}: not built, for no compiler here has the standard library of {target}.\n"
        f"  Install it with `rustup target add {target}`"
        + (", or on Debian with `make package-tools`." if architecture is ARM64 and host() is X86_64 else ".")
    )


def places(rustc: str, work: Path) -> dict[str, str]:
    """Folders of this machine whose names the compiler would put into the program, and what it puts there instead."""
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version=1", cwd=ROOT))
    crates = {str(Path(it["manifest_path"]).parent.parent) for it in metadata["packages"] if it["source"]}
    library = Path(run(rustc, "--print", "sysroot", cwd=ROOT)) / "lib/rustlib/src/rust"
    commit = re.search(r"commit-hash: (\S+)", run(rustc, "-vV", cwd=ROOT)).group(1)
    # Of two that match, the compiler takes the later.
    return {str(ROOT): "/rolecall", str(work): "/target", str(library): f"/rustc/{commit}"} | {
        folder: "/crates" for folder in sorted(crates)
    }


def surroundings() -> dict[str, str]:
    """The variables of this process that a build may see."""
    return {name: value for name, value in os.environ.items() if NEEDED.fullmatch(name)}


def build(architecture: Architecture, rustc: str, folder: Path) -> Package:
    """Builds, checks, and only then writes."""
    begun = time.monotonic()
    work = folder / "package" / architecture.name
    output = folder / "lambda" / architecture.name
    packed, binary = output / "bootstrap.zip", output / "bootstrap"
    container = folder / "container" / architecture.docker / "rolecall"
    for old in (packed, binary, container):
        old.parent.mkdir(parents=True, exist_ok=True)
        old.unlink(missing_ok=True)
    named = places(rustc, work)
    environment = surroundings() | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RUSTC": rustc,
        # These flags and no others: those of cargo's own files do not count beside them.
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(f"--remap-path-prefix={path}={name}" for path, name in named.items()),
        "CARGO_ZIGBUILD_CACHE_DIR": str(work / "zigbuild"),
        "ZIG_GLOBAL_CACHE_DIR": str(work / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(work / "zig"),
    }
    command = ["cargo-zigbuild", "zigbuild", "--quiet", "--locked", "--release", "--package=rolecall", "--bin=rolecall"]
    command += [f"--target={architecture.target}.{GLIBC[0]}.{GLIBC[1]}", f"--target-dir={work}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, timeout=LIMIT_SECONDS)
    if done.returncode:
        sys.exit(f"{architecture.name}: the build failed.")
    program = (work / architecture.target / "release/rolecall").read_bytes()
    contents = zipped(program)
    if found := mistakes(contents, architecture, [*named, str(folder)]):
        sys.exit("\n  ".join([f"{architecture.name}: built, but not as a package must be:", *found]))
    for copy in (binary, container):
        copy.write_bytes(program)
        copy.chmod(MODE & 0o777)
    packed.write_bytes(contents)
    version = run(rustc, "--version", cwd=ROOT)
    return Package(architecture, packed, binary, version, time.monotonic() - begun)


def zipped(program: bytes, *, name: str = "bootstrap", date: tuple[int, ...] = EPOCH, mode: int = MODE) -> bytes:
    entry = zipfile.ZipInfo(name, date)
    entry.create_system = 3  # Unix: the mode counts
    entry.external_attr = mode << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr(entry, program, compresslevel=9)
    return written.getvalue()


def glibc_versions(program: bytes) -> set[tuple[int, ...]]:
    """The versions of glibc's symbols that a program needs: they stand in it as text, whatever table refers to them."""
    return {tuple(map(int, name.split(b"."))) for name in re.findall(rb"GLIBC_([0-9]+(?:\.[0-9]+)+)", program)}


def mistakes(packed: bytes, architecture: Architecture, unspeakable: list[str]) -> list[str]:
    """What is wrong with a zip: its entry, the program's processor, its C library, names of the machine's folders."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        entries = archive.infolist()
        if [it.filename for it in entries] != ["bootstrap"]:
            return [f"it must hold `bootstrap` and nothing else, and has {[it.filename for it in entries]}"]
        entry, program = entries[0], archive.read("bootstrap")
    found = []
    if entry.date_time != EPOCH:
        found.append(f"the entry's time must be {EPOCH}, and is {entry.date_time}")
    if (entry.create_system, entry.external_attr >> 16) != (3, MODE):
        found.append(f"the entry's mode must be {MODE:o}, and is {entry.external_attr >> 16:o}")
    # Little-endian, 64 bits; then the processor.
    if program[:6] != b"\x7fELF\2\1" or int.from_bytes(program[18:20], "little") != architecture.elf:
        found.append(f"`bootstrap` is no program for {architecture.name}")
    found += [
        f"it needs glibc {'.'.join(map(str, version))}; {GLIBC[0]}.{GLIBC[1]} is the newest that Lambda has"
        for version in sorted(glibc_versions(program))
        if version > GLIBC
    ]
    # These have no number: what only newer ones can do, and what is their own.
    found += [f"it needs {it.decode()}" for it in sorted(set(re.findall(rb"GLIBC_(?:ABI_\w+|PRIVATE)", program)))]
    found += [f"it names a folder of this machine: {it}" for it in unspeakable if f"{it}/".encode() in program]
    return found


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    asked = sys.argv[2:]
    if unknown := set(asked) - {it.name for it in ARCHITECTURES}:
        sys.exit(f"ARCH must be x86_64 or arm64, not {' '.join(unknown)}")
    wanted = [it for it in ARCHITECTURES if not asked or it.name in asked]
    compilers = {it: compiler(it.target) for it in wanted}
    able = [it for it in wanted if compilers[it]]
    if able:
        print(f"building for {' and '.join(it.name for it in able)}, which takes minutes …", flush=True)
    # Both at once: each ends with minutes of one thread.
    with ThreadPoolExecutor() as pool:
        packages = list(pool.map(lambda it: build(it, compilers[it], folder), able))
    for package in packages:
        print(package)
    unable = [it for it in wanted if it not in able]
    for architecture in unable:
        print(missing(architecture), file=sys.stderr)
    # What was asked for must be there; without asking, the host's own.
    return int(bool(unable) if asked else not able or host() in unable)


if __name__ == "__main__":
    sys.exit(main())
