"""The programs' own packages from npm, in exact versions, installed once and kept in the user's cache."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

PACKAGES = Path(__file__).parent / "package.json"
INSTALL_S = 280  # some 250 MB; 20 seconds on a good line


def programs() -> Path:
    """The folder of their commands. Processes that come at once wait for the one that installs."""
    for command in ("node", "npm"):
        assert shutil.which(command), (
            f"{command} is missing: these tests run the real programs from npm. "
            "Install it (Debian: apt-get install nodejs npm; Node 20 or newer), see tests/system_packages.sh"
        )
    content = PACKAGES.read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tokenman-tests"
    folder = cache / hashlib.sha256(content).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            (folder / "package.json").write_bytes(content)
            # Scripts of packages are left out: they would build what is not needed here.
            _run(
                folder,
                "npm",
                "install",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--no-package-lock",
                "--loglevel=error",
            )
            # But for Claude Code's own, which puts the binary in its place.
            _run(folder, "node", "node_modules/@anthropic-ai/claude-code/install.cjs")
            (folder / "done").touch()
    return folder / "node_modules" / ".bin"


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
