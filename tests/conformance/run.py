"""`make conformance`: the official suite against our edge, compared with what is recorded in baseline.json.

Usage: run.py [--record] SERVER

SERVER is the built example; it is started here and ends with this program. The suite runs once for each requirement set.
baseline.json holds, for each set, the checks that pass; those that pass without saying anything of this server, and why
(`empty`); and the checks, or whole scenarios, that do not pass, and why (`absent`). A run fails if a recorded check no
longer passes, if one passes that is not recorded, or if one lacks its reason. `--record` adds what passes now, and never
takes a check out.
"""

import json
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"
MODULES = HERE.parent / "interop" / "node_modules"
SUITE = [MODULES / ".bin" / "node", MODULES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js", "server"]
SETS = ["2026-07-28", "2025-11-25"]
# Seconds that one run of the suite may take, and that the server may take to start.
SUITE_LIMIT, START_LIMIT = 240, 30


def run_suite(url: str, requirements: str) -> dict[str, dict[str, str]]:
    """Runs one requirement set. Gives each scenario's checks and whether they passed: {scenario: {check: status}}."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*SUITE, "--url", url, "--requirements", requirements, "-o", folder]
        # Its exit code and its summary count what we do not claim; the checks themselves are what counts.
        ran = subprocess.run(command, capture_output=True, text=True, timeout=SUITE_LIMIT, check=False)
        results = {}
        for file in sorted(Path(folder).glob("server-*/checks.json")):
            scenario = re.fullmatch(r"server-(.+)-\d{4}-\d\d-\d\dT[-\dZ]+", file.parent.name)[1]
            results[scenario] = statuses(json.loads(file.read_text()))
    if not results:
        sys.exit(f"The suite did not run:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return results


def statuses(checks: list[dict]) -> dict[str, str]:
    """The status of each check. One that is made more than once passes if it passes each time."""
    found: dict[str, str] = {}
    for check in checks:
        status = check["status"]
        # Neither a pass nor a failure: what the suite merely tells.
        if status == "INFO":
            continue
        if found.get(check["id"], "SUCCESS") == "SUCCESS":
            found[check["id"]] = status
    return found


def compare(results: dict[str, dict[str, str]], recorded: dict) -> tuple[list[str], list[tuple[str, str]], list[str]]:
    """What is wrong, which checks (scenario, check) pass and are not recorded, and which reasons nothing needs."""
    passing, empty, absent = recorded["passing"], recorded["empty"], recorded["absent"]
    wrong, new, used = [], [], set()
    for scenario, checks in passing.items():
        for check in checks:
            status = results.get(scenario, {}).get(check, "not made")
            if status != "SUCCESS":
                wrong.append(f"{scenario}/{check} no longer passes: {status}")
    for scenario, checks in results.items():
        for check, status in checks.items():
            name = f"{scenario}/{check}"
            if status == "SUCCESS" and name in empty:
                used.add(name)
            elif status == "SUCCESS":
                if check not in passing.get(scenario, []):
                    new.append((scenario, check))
            elif name in absent or scenario in absent:
                used.add(name if name in absent else scenario)
            elif check not in passing.get(scenario, []):
                wrong.append(f"{name} does not pass ({status}), and baseline.json does not say why")
    return wrong, new, [name for name in [*empty, *absent] if name not in used]


def record(new: list[tuple[str, str]], stale: list[str], recorded: dict) -> None:
    """Adds checks that pass, and takes out the reasons why they did not."""
    for name in stale:
        recorded["empty"].pop(name, None)
        recorded["absent"].pop(name, None)
    for scenario, check in new:
        checks = recorded["passing"].setdefault(scenario, [])
        checks.append(check)
        checks.sort()
    recorded["passing"] = dict(sorted(recorded["passing"].items()))


def summary(requirements: str, results: dict[str, dict[str, str]], recorded: dict) -> str:
    """One line: what passes, and what does not."""
    passing = recorded["passing"]
    passed = sum(len(checks) for checks in passing.values())
    absent = sum(status != "SUCCESS" for checks in results.values() for status in checks.values())
    whole = sum(set(checks) == set(passing.get(scenario, [])) for scenario, checks in results.items() if checks)
    return (
        f"conformance {requirements}: {passed} checks recorded as passing, {absent} absent with their reasons, "
        f"{len(recorded['empty'])} pass without meaning; {whole} of {len(results)} scenarios whole: "
    )


def serve(program: str) -> tuple[subprocess.Popen, str]:
    """Starts the server. Gives it and its URL."""
    server = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    guard = threading.Timer(START_LIMIT, server.kill)
    guard.start()
    url = server.stdout.readline().strip()
    guard.cancel()
    if not url:
        sys.exit(f"{program} did not start.")
    return server, url


def main() -> int:
    recording = "--record" in sys.argv[1:]
    (program,) = [argument for argument in sys.argv[1:] if argument != "--record"]
    baseline = json.loads(BASELINE.read_text())
    server, url = serve(program)
    failed = False
    try:
        for requirements in SETS:
            recorded = baseline[requirements]
            results = run_suite(url, requirements)
            wrong, new, stale = compare(results, recorded)
            if recording:
                record(new, stale, recorded)
            else:
                hint = "run `make conformance-record`"
                wrong += [f"{scenario}/{check} passes and is not recorded: {hint}" for scenario, check in new]
                wrong += [f"{name} has a reason that nothing needs any more: {hint}" for name in stale]
            for problem in wrong:
                print(f"{requirements}: {problem}")
            failed = failed or bool(wrong)
            print(summary(requirements, results, recorded) + ("FAILED" if wrong else "ok"))
    finally:
        server.stdin.close()
        server.wait(timeout=START_LIMIT)
    if recording:
        BASELINE.write_text(json.dumps(baseline, indent=2, ensure_ascii=False) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
