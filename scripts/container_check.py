"""`make container-check`: builds the image, and runs it as strictly as the definitions of ECS do.

In: this host's own program, as package.py left it in FOLDER; `buildah` and `runc` of Debian, and root. No registry is
asked: in place of distroless' base stands one of the Debian packages that distroless is made of, so that what is proven
is the Dockerfile and the program, not the base itself. The image's own command runs with a read-only root file system,
without capabilities, as the image's own user, in a network of its own; it must answer `/healthz`, complain of nothing,
and end when it is told to.

Usage: container_check.py FOLDER
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import package
from package_check import START_SECONDS, VERSION, check_health, configuration

PACKAGES = ("base-files", "ca-certificates", "libc6", "netbase", "tzdata")
HEALTH = "http://127.0.0.1:8080/healthz"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"


def base(folder: Path) -> Path:
    """The files of a base image, from Debian's packages, unpacked and not installed."""
    packages, files = folder / "packages", folder / "files"
    packages.mkdir()
    package.run("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *PACKAGES, cwd=packages)
    for archive in packages.iterdir():
        package.run("dpkg-deb", "--extract", str(archive), str(files))
    # What the package's script would do when it is installed.
    certificates = sorted((files / "usr/share/ca-certificates").rglob("*.crt"))
    assert certificates
    (files / CERTIFICATES).write_bytes(b"".join(it.read_bytes() for it in certificates))
    return files


@contextlib.contextmanager
def image(folder: Path, programs: Path, dockerfile: Path) -> Iterator[tuple[Path, dict]]:
    """An image's root file system and its configuration."""
    storage = ["--root", str(folder / "storage"), "--runroot", str(folder / "run"), "--storage-driver", "vfs"]

    def buildah(command: str, *arguments: object) -> str:
        return package.run("buildah", *storage, command, *map(str, arguments))

    # `USER 0`, so that only our own Dockerfile can be what sets another.
    (folder / "base").write_text(f"FROM scratch\nCOPY . /\nENV SSL_CERT_FILE=/{CERTIFICATES}\nUSER 0\n")
    platform = f"linux/{package.host().docker}"
    buildah("bud", "--isolation=chroot", "--tag=base", "--file", folder / "base", base(folder))
    buildah(
        "bud", "--isolation=chroot", f"--platform={platform}", "--build-arg=BASE=localhost/base",
        f"--build-arg=VERSION={VERSION}", "--tag=rolecall", "--file", dockerfile, programs,
    )  # fmt: skip
    described = json.loads(buildah("inspect", "--type=image", "rolecall"))["OCIv1"]
    container = buildah("from", "localhost/rolecall")
    try:
        yield Path(buildah("mount", container)), described["config"]
    finally:
        buildah("umount", container)


def bundle(folder: Path, root: Path, config: dict) -> None:
    """What runc is to run: the image's command as the image's user, without any of what could be given beyond that."""
    user, group = map(int, config["User"].split(":"))
    nothing = {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")}
    described = {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": True},
        "process": {
            "args": config["Entrypoint"] + config["Cmd"],
            "cwd": "/",
            "env": [*config["Env"], f"ROLECALL_CONFIG={configuration()}"],
            "user": {"uid": user, "gid": group},
            "capabilities": nothing,
            "noNewPrivileges": True,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "ro", "mode=755"]},
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]},
    }
    (folder / "config.json").write_text(json.dumps(described))


def check_run(folder: Path) -> None:
    runc = ["runc", "--root", str(folder / "runc")]
    name = f"rolecall-check-{os.getpid()}"
    with subprocess.Popen([*runc, "run", "--bundle", folder, name], stderr=subprocess.PIPE, text=True) as container:
        limit = threading.Timer(START_SECONDS, lambda: subprocess.run([*runc, "kill", name, "KILL"], timeout=20))
        limit.start()
        try:
            said = []
            for line in container.stderr:
                said.append(line)
                if "listening on http://0.0.0.0:8080/mcp" in line:
                    break
            else:
                sys.exit(f"the container does not listen:\n{''.join(said)}")
            process = json.loads(package.run(*runc, "state", name))["pid"]
            status = dict(re.findall(r"(\w+):\s*(.*)", Path(f"/proc/{process}/status").read_text()))
            assert status["Uid"].split() == ["65532"] * 4 == status["Gid"].split(), status
            assert {int(status[it], 16) for it in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {0}, status
            assert status["NoNewPrivs"] == "1", status
            options = re.search(r"^\S+ / \S+ (\S+)", Path(f"/proc/{process}/mounts").read_text(), re.MULTILINE).group(1)
            assert "ro" in options.split(","), options
            ask = f"import urllib.request as it; print(it.urlopen('{HEALTH}', timeout=20).read().decode())"
            inside = ["nsenter", f"--net=/proc/{process}/ns/net", sys.executable, "-c", ask]
            check_health(package.run(*inside).encode())
            package.run(*runc, "kill", name, "TERM")
            said += container.stderr.readlines()
            assert container.wait() == 0, f"the container ended with {container.returncode}: {''.join(said)}"
            assert not re.search(r'"level":"(WARN|ERROR)"|denied|Read-only', "".join(said)), "".join(said)
        finally:
            limit.cancel()
            subprocess.run([*runc, "delete", "--force", name], stderr=subprocess.DEVNULL, timeout=60)


def main() -> None:
    programs = Path(sys.argv[1]).resolve() / "container"
    if os.geteuid() or not all(map(shutil.which, ("buildah", "runc", "nsenter", "apt-get"))):
        sys.exit("The check of the image needs Debian, root, `buildah` and `runc`: apt-get install buildah runc")
    with tempfile.TemporaryDirectory(dir=programs.parent, prefix="image-") as name:
        folder = Path(name)
        with image(folder, programs, package.ROOT / "Dockerfile") as (root, config):
            assert config["User"] == "65532:65532" and list(config["ExposedPorts"]) == ["8080/tcp"], config
            readable = (root / CERTIFICATES).stat()
            assert readable.st_size and readable.st_mode & 0o004
            bundle(folder, root, config)
            check_run(folder)
    print("container: as 65532, read-only and without capabilities, it answers /healthz and ends when told to")


if __name__ == "__main__":
    main()
