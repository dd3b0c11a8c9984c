"""The stand-in command provider under the real pulumi, against a real sshd on the loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tools.provision import plugins, result

PROGRAM = """\
import json
import pulumi
from pulumi_command import local, remote

config = json.loads(open("config.json").read())
connection = remote.ConnectionArgs(
    host="127.0.0.1", port=config["port"], dial_error_limit=1, per_dial_timeout=5,
    private_key=pulumi.Output.secret(open("login").read()), host_key=config["host_key"],
)
exec(config["program"])
"""


@dataclass
class Stack:
    """A project with one stack, and what its program is to be."""

    folder: Path
    port: int
    host_key: str

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        setup = result.read()
        environment = {
            "PATH": os.pathsep.join([*setup.path, os.environ["PATH"]]),
            "HOME": str(self.folder),
            "PULUMI_HOME": setup.pulumi_home,
            "PULUMI_BACKEND_URL": (self.folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_STACK": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        return subprocess.run(
            ["pulumi", "--non-interactive", "--color", "never", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )

    def program(self, text: str, host_key: str | None = None) -> None:
        config = {"port": self.port, "host_key": host_key or self.host_key, "program": text}
        (self.folder / "config.json").write_text(json.dumps(config))

    def up(self, text: str, host_key: str | None = None) -> str:
        """The output of a successful `pulumi up`."""
        self.program(text, host_key)
        ended = self.run("up", "--yes", "--skip-preview")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def failing_up(self, text: str, host_key: str | None = None) -> str:
        self.program(text, host_key)
        ended = self.run("up", "--yes", "--skip-preview")
        assert ended.returncode != 0, ended.stdout
        return ended.stdout

    def outputs(self) -> dict[str, Any]:
        return dict(json.loads(self.run("stack", "output", "--json", "--show-secrets").stdout))


def new_key(path: Path) -> str:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.with_suffix(".pub").read_text()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    assert plugins.stands_in(), "this machine has the vendor's provider: nothing of ours to test"
    folder = tmp_path_factory.mktemp("stack")
    (folder / "Pulumi.yaml").write_text("name: test\nruntime: python\n")
    (folder / "__main__.py").write_text(PROGRAM)
    (folder / "state").mkdir()
    host_key = new_key(folder / "host")
    new_key(folder / "login")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/login.pub\nPidFile none\nSubsystem sftp internal-sftp\n"
        "AcceptEnv PULUMI_* GREETING\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    with (folder / "sshd.log").open("w") as log:
        daemon = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log
        )
    try:
        wait_for_port(port)
        found = Stack(folder, port, host_key)
        assert found.run("stack", "init", "test").returncode == 0
        yield found
        found.program("pass")
        assert found.run("destroy", "--yes", "--skip-preview").returncode == 0
    finally:
        daemon.terminate()
        daemon.wait(10)


def wait_for_port(port: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("sshd does not listen")


def test_create_update_delete_and_the_output_before(stack: Stack) -> None:
    trace = stack.folder / "trace"
    command = (
        'c = remote.Command("c", connection=connection, stdin={stdin!r}, '
        "create='cat; echo create:$PULUMI_COMMAND_STDOUT', "
        "update='cat; echo update:$PULUMI_COMMAND_STDOUT; echo note >&2', "
        f"delete='echo delete:$PULUMI_COMMAND_STDOUT >>{trace}')\n"
        'pulumi.export("out", c.stdout); pulumi.export("err", c.stderr)'
    )
    stack.up(command.format(stdin="1 "))
    assert stack.outputs() == {"out": "1 create:", "err": ""}
    assert "1 updated" in stack.up(command.format(stdin="2 "))
    assert stack.outputs() == {"out": "2 update:1 create:", "err": "note"}
    assert "2 unchanged" in stack.up(command.format(stdin="2 "))
    assert stack.outputs()["out"] == "2 update:1 create:"
    stack.up("pass")
    assert trace.read_text() == "delete:2 update:1 create:\n"


def test_secrets_reach_the_output_as_secrets(stack: Stack) -> None:
    shown = stack.up(
        'c = remote.Command("s", connection=connection, create="echo plain", logging="none")\n'
        'l = local.Command("l", create="echo open")\n'
        'pulumi.export("hidden", c.stdout); pulumi.export("open", l.stdout)'
    )
    assert "hidden: [secret]" in " ".join(shown.split())
    assert 'open : "open"' in " ".join(shown.split()) or 'open: "open"' in " ".join(shown.split())
    assert "PRIVATE KEY" not in (stack.folder / "state/.pulumi/stacks/test/test.json").read_text()


def test_triggers_replace(stack: Stack) -> None:
    program = 'local.Command("t", create="true", triggers=[{0}])'
    stack.up(program.format(1))
    stack.program(program.format(2))
    preview = stack.run("preview").stdout
    assert "replace" in preview
    assert "triggers" in preview


def test_a_failure_shows_what_the_command_said_and_keeps_the_state(stack: Stack) -> None:
    good = 'remote.Command("f", connection=connection, create="echo fine")'
    stack.up(good)
    said = stack.failing_up(good.replace("echo fine", "echo the last words; echo at >&2; exit 3"))
    assert "Process exited with status 3: running" in said
    assert "the last words" in said
    assert "2 unchanged" in stack.up(good)


def test_the_environment_and_a_local_failure(stack: Stack) -> None:
    stack.up(
        'r = remote.Command("e", connection=connection, create="echo $GREETING",'
        ' environment={"GREETING": "hello"})\n'
        'l = local.Command("e", create="echo $GREETING; pwd", dir="/usr",'
        ' environment={"GREETING": "hello"})\n'
        'pulumi.export("r", r.stdout); pulumi.export("l", l.stdout)'
    )
    assert stack.outputs() == {"r": "hello", "l": "hello\n/usr"}
    said = stack.failing_up('local.Command("e", create="echo no >&2; exit 4")')
    assert 'exit status 4: running "echo no >&2; exit 4":' in said


def test_another_host_key_is_refused(stack: Stack) -> None:
    other = new_key(stack.folder / "other")
    said = stack.failing_up(
        'remote.Command("k", connection=connection, create="true")', host_key=other
    )
    assert f"could not log in to root@127.0.0.1:{stack.port} (2 tries)" in said


def test_copies_land_where_the_table_says(stack: Stack) -> None:
    source, target = stack.folder / "tree", stack.folder / "target"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "f").write_text("deep")
    (source / "f").write_text("flat")
    target.mkdir()
    copy = (
        'remote.CopyToRemote("{0}", connection=connection, remote_path="{1}", source=pulumi.{2})\n'
    )
    stack.up(
        copy.format("file", target / "new", f'FileAsset("{source / "f"}")')
        + copy.format("into", target, f'FileAsset("{source / "f"}")')
        + copy.format("text", target / "text", 'StringAsset("written")')
        + copy.format("dir", target, f'FileArchive("{source}")')
    )
    found = {
        str(path.relative_to(target)): path.read_text()
        for path in target.rglob("*")
        if path.is_file()
    }
    assert found == {
        "new": "flat",
        "f": "flat",
        "text": "written",
        "tree/f": "flat",
        "tree/sub/f": "deep",
    }
    stack.up(copy.format("text", target / "text", 'StringAsset("changed")'))
    assert (target / "text").read_text() == "changed"
    said = stack.failing_up(copy.format("text", "/no/such/folder/x", 'StringAsset("x")'))
    assert "could not copy to /no/such/folder/x" in said


def test_many_commands_share_one_login(stack: Stack) -> None:
    before = (stack.folder / "sshd.log").read_text().count("Accepted publickey")
    stack.up(
        "for number in range(20):\n"
        '    remote.Command(f"many{number}", connection=connection, create="sleep 0.2; echo x")'
    )
    assert (stack.folder / "sshd.log").read_text().count("Accepted publickey") == before + 1


def test_preview_runs_nothing_and_faults_are_named(stack: Stack) -> None:
    trace = stack.folder / "previewed"
    stack.program(f'local.Command("p", create="touch {trace}")')
    assert stack.run("preview").returncode == 0
    assert not trace.exists()
    said = stack.failing_up('local.Command("p", create="true", asset_paths=["*.txt"])')
    assert "assetPaths" in said
    assert "stand-in" in said
