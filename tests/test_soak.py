import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parent.parent / "tools" / "soak.py"


def test_a_kill_of_each() -> None:
    """`make soak` in short: killed while it works, each command leaves what an unbroken run leaves."""
    command = [sys.executable, str(SOAK), "--kills", "1", "--photos", "240"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len([line for line in lines if "killed" in line and "identical" in line]) == 2
    assert "all identical to an unbroken run" in lines[-1]
