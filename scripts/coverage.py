"""`make coverage`: which lines of src/ the tests run, by room and by file.

The unit tests count, and the integration tests with all the servers that they start, however those end. A line is
covered when any of them ran it; test modules are not counted. Ends with 1 if a room that decides who may do what is below
its bound.

Usage: coverage.py FOLDER [ARGUMENTS OF cargo test]. Everything that it makes is in FOLDER.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
# In percent of lines.
BOUNDS = {"auth": 90.0, "context.rs": 90.0, "aws": 90.0, "door": 90.0}


def rustc(*arguments: str) -> str:
    return subprocess.run(["rustc", *arguments], check=True, capture_output=True, text=True).stdout


def llvm(folder: Path) -> dict[str, list[str]]:
    """How llvm-profdata and llvm-cov are called: rustc's own, the system's of the same version, or Debian's packages."""
    names = ("llvm-profdata", "llvm-cov")
    version = re.search(r"LLVM version: (\d+)", rustc("-vV")).group(1)
    own = Path(rustc("--print", "target-libdir").strip()).parent / "bin"
    if all((own / name).exists() for name in names):
        return {name: [str(own / name)] for name in names}
    if all(shutil.which(f"{name}-{version}") for name in names):
        return {name: [f"{name}-{version}"] for name in names}
    unpacked = folder / "llvm"
    if not unpacked.exists():
        fetch_debian(unpacked, version)
    libraries = next(unpacked.glob("usr/lib/*-linux-gnu"))
    environment = ["env", f"LD_LIBRARY_PATH={libraries}"]
    return {name: [*environment, str(unpacked / f"usr/lib/llvm-{version}/bin/{name}")] for name in names}


def fetch_debian(target: Path, version: str) -> None:
    """Unpacks the tools without installing them."""
    packages = [f"llvm-{version}", f"libllvm{version}"]
    if not shutil.which("apt-get"):
        sys.exit(f"llvm-profdata and llvm-cov of LLVM {version} are missing: rustup component add llvm-tools")
    parts = target.with_name("llvm.part")
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    if subprocess.run(["apt-get", "download", "-qq", *packages], cwd=parts, stderr=subprocess.DEVNULL).returncode:
        sys.exit(f"{' and '.join(packages)} cannot be downloaded: rustup component add llvm-tools")
    for package in parts.glob("*.deb"):
        subprocess.run(["dpkg", "--extract", package, parts], check=True)
    parts.rename(target)


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "CARGO_TARGET_DIR": str(folder),
        "RUSTC_WORKSPACE_WRAPPER": str(ROOT / "scripts/coverage-rustc.sh"),
        # %c: written as it is counted. %m: one file for each binary, which its processes share.
        "LLVM_PROFILE_FILE": str(folder / "profiles" / "%m%c.profraw"),
        "RUST_BACKTRACE": "0",
    }


def binaries(folder: Path) -> list[str]:
    """Builds the tests; gives all that they run."""
    build = ["cargo", "test", "--locked", "--no-run", "--message-format=json-render-diagnostics"]
    built = subprocess.run(build, cwd=ROOT, env=environment(folder), stdout=subprocess.PIPE, text=True)
    if built.returncode:
        sys.exit(built.returncode)
    messages = (json.loads(line) for line in built.stdout.splitlines())
    return [message["executable"] for message in messages if message.get("executable")]


def covered_lines(folder: Path, programs: list[str], tools: dict[str, list[str]]) -> dict[Path, dict[int, bool]]:
    """For each file, each line that is code, and whether it ran."""
    profiles = [str(profile) for profile in (folder / "profiles").glob("*.profraw")]
    merged = folder / "merged.profdata"
    subprocess.run([*tools["llvm-profdata"], "merge", "--sparse", "-o", str(merged), *profiles], check=True)
    objects = [argument for program in programs[1:] for argument in ("--object", program)]
    export = ["export", "--format=lcov", f"--instr-profile={merged}", programs[0], *objects]
    lcov = subprocess.run([*tools["llvm-cov"], *export], check=True, stdout=subprocess.PIPE, text=True).stdout
    (folder / "lcov.info").write_text(lcov)
    files: dict[Path, dict[int, bool]] = {}
    lines: dict[int, bool] = {}
    for record in lcov.splitlines():
        if record.startswith("SF:"):
            lines = files.setdefault(Path(record[3:]), {})
        elif record.startswith("DA:"):
            line, count = record[3:].split(",")[:2]
            lines[int(line)] = lines.get(int(line), False) or int(count) > 0
    return files


def without_tests(path: Path, lines: dict[int, bool]) -> dict[int, bool]:
    text = path.read_text().splitlines()
    end = next((at for at, line in enumerate(text, 1) if line == "#[cfg(test)]"), len(text) + 1)
    return {line: ran for line, ran in lines.items() if line < end}


def ranges(lines: list[int]) -> str:
    spans: list[list[int]] = []
    for line in sorted(lines):
        if spans and line == spans[-1][1] + 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in spans)


def percent(lines: list[bool]) -> float:
    return 100.0 * sum(lines) / len(lines) if lines else 100.0


def report(files: dict[Path, dict[int, bool]]) -> bool:
    """Prints the report; gives whether every bound is kept."""
    rooms: dict[str, list[bool]] = {}
    for path in sorted(SOURCE.rglob("*.rs")):
        inner = path.relative_to(SOURCE)
        lines = without_tests(path, files.get(path, {}))
        if path.name == "tests.rs" or not lines:
            continue
        rooms.setdefault(inner.parts[0], []).extend(lines.values())
        missed = [line for line, ran in lines.items() if not ran]
        print(f"{percent(list(lines.values())):6.1f} %  {inner!s:34} {'not run: ' + ranges(missed) if missed else ''}")
    print("\nBy room:")
    kept = True
    for room, lines in sorted(rooms.items()):
        bound = BOUNDS.get(room)
        below = bound is not None and percent(lines) < bound
        kept &= not below
        promised = "" if bound is None else f"(at least {bound:.0f} %)" + (" TOO LITTLE" if below else "")
        print(f"{percent(lines):6.1f} %  {room:14} {sum(lines):5} of {len(lines):5} lines  {promised}")
    every = [ran for lines in rooms.values() for ran in lines]
    print(f"{percent(every):6.1f} %  src            {sum(every):5} of {len(every):5} lines")
    unseen = BOUNDS.keys() - rooms.keys()
    if unseen:
        print(f"No line of {', '.join(sorted(unseen))} was seen: the report is broken.")
    return kept and not unseen


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    tools = llvm(folder)
    programs = binaries(folder)
    profiles = folder / "profiles"
    shutil.rmtree(profiles, ignore_errors=True)
    profiles.mkdir()
    tests = subprocess.run(["cargo", "test", "--locked", *sys.argv[2:]], cwd=ROOT, env=environment(folder))
    if tests.returncode:
        return tests.returncode
    return 0 if report(covered_lines(folder, programs, tools)) else 1


if __name__ == "__main__":
    sys.exit(main())
