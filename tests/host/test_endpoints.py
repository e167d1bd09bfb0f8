"""What asks in another network asks in the one that is meant, or not at all."""

import os
import socket
import subprocess
from pathlib import Path

from reconciler.host.machine.endpoints import Network, arguments

HERE = Network(
    os.getpid(), str(Path("/proc/self/ns/pid").readlink()), str(Path("/proc/self/ns/net").readlink())
)


def asked(network: Network, *names: str) -> tuple[int, str, str]:
    done = subprocess.run(arguments(network, names), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_process_that_is_another_one_by_now_is_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        name = f"tcp 127.0.0.1:{server.getsockname()[1]}"
        for other in (HERE._replace(processes="pid:[1]"), HERE._replace(pid=2**22 + 1)):
            code, said, why = asked(other, name)
            assert (code, said) == (1, "")
            assert why.strip() in {
                f"process {os.getpid()} is another one",
                "No such file or directory",
            }


def test_a_network_that_is_another_one_is_not_asked() -> None:
    """Where we may enter one at all; the kernel is against it for whoever is not root."""
    code, said, why = asked(HERE._replace(network="net:[1]"), "tcp 127.0.0.1:1")
    assert (code, said) == (1, "")
    assert why.strip() in {f"the network of process {os.getpid()} is another one", "Operation not permitted"}


def test_an_answer_is_a_line_for_each_question() -> None:
    code, said, _ = asked(HERE, "tcp 127.0.0.1:1", "http http://127.0.0.1:1/")
    refused = '["tcp 127.0.0.1:1", false, "Connection refused"]\n'
    assert (code, said) in {
        (0, refused + refused.replace("tcp 127.0.0.1:1", "http http://127.0.0.1:1/")),
        (1, ""),
    }
