"""What the programs talk to and did not write: a certificate authority, PostgreSQL, Redis.

Each server is a child of the test run, with its data in a private folder that is removed, on loopback and on a Unix socket.
It counts as started when it has said so in its log. A server that is not installed is an error that names the package, never
a skip.
`python servers.py`, which `make ecosystem` runs first, tells which are missing, and as root on Debian installs them.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

SECONDS = 120
PROGRAMS = {"postgres": ["postgres"], "redis": ["redis-server", "valkey-server"]}
DEBIAN = {"postgres": "postgresql", "redis": "redis-server"}


class MissingServerError(Exception):
    pass


class Certificates:
    """An authority made for this run, a certificate of it for localhost, and contexts that use them."""

    def __init__(self) -> None:
        import trustme

        self.authority = trustme.CA()
        self.issued = self.authority.issue_cert("localhost", "127.0.0.1")

    def server(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.issued.configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    def write(self, folder: Path) -> tuple[Path, Path, Path]:
        """Files for servers that want files: key, certificate chain, authority."""
        key, chain, authority = folder / "key.pem", folder / "chain.pem", folder / "authority.pem"
        self.issued.private_key_pem.write_to_path(key)
        chain.write_bytes(b"".join(pem.bytes() for pem in self.issued.cert_chain_pems))
        self.authority.cert_pem.write_to_path(authority)
        key.chmod(0o600)
        return key, chain, authority


@dataclass
class Server:
    folder: Path
    """Holds the Unix socket."""
    port: int
    authority: Path | None = None
    """A file with the authority that signed the server's certificate, where it speaks TLS."""

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"


@contextlib.contextmanager
def started(start, *arguments):
    """`start` in a private folder; yields the Server, then ends the process and removes the folder."""
    # Not below pytest's tmp_path: a Unix socket's path has room for 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="rondeau-"))
    try:
        with start(folder, *arguments) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def postgres(folder: Path, certificates: Certificates):
    """PostgreSQL, with TLS, user and database `rondeau`. It refuses to run as root, so then it runs as another user."""
    binaries = find("postgres").parent
    account = {}
    if os.geteuid() == 0:
        user = next((name for name in ("postgres", "nobody") if _exists(name)), None)
        if user is None:
            raise MissingServerError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
        account = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    key, chain, authority = certificates.write(folder)
    if account:
        for path in (folder, key, chain, authority):
            shutil.chown(path, account["user"], account["group"])
    data, port = folder / "data", free_port()
    words = [binaries / "initdb", "-D", data, "-U", "rondeau", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
    made = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=SECONDS, env=_plain(), **account)
    if made.returncode:
        raise MissingServerError(f"initdb failed: {made.stderr}")
    settings = {"fsync": "off", "ssl": "on", "ssl_key_file": key, "ssl_cert_file": chain, "max_connections": 150}
    words = [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder]
    for name, value in settings.items():
        words += ["-c", f"{name}={value}"]
    with child(words, "ready to accept connections", signal.SIGINT, cwd=folder, **account):
        yield Server(folder, port, authority)


@contextlib.contextmanager
def redis(folder: Path, certificates: Certificates):
    server = Server(folder, free_port())
    words = [find("redis"), "--port", str(server.port), "--bind", "127.0.0.1", "--unixsocket", server.socket]
    words += ["--dir", folder, "--save", "", "--appendonly", "no"]
    with child(words, "eady to accept connections", signal.SIGTERM, cwd=folder):
        yield server


@contextlib.contextmanager
def child(words, ready: str, ends_by: int, **options):
    """A server process, from its line `ready` on; its log is shown if it does not come so far."""
    words = [os.fspath(word) for word in words]
    options.setdefault("env", _plain())
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    log: deque[str] = deque(maxlen=100)
    is_ready, is_over = threading.Event(), threading.Event()

    def read() -> None:
        with process.stdout:
            for line in process.stdout:
                log.append(line.decode(errors="replace"))
                if ready in log[-1]:
                    is_ready.set()
        is_over.set()
        is_ready.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        if not is_ready.wait(SECONDS) or is_over.is_set():
            raise MissingServerError(f"{words[0]} did not start:\n{''.join(log)}")
        yield log
    finally:
        process.send_signal(ends_by)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()


def find(server: str) -> Path:
    """The server's program: on the path, or where Debian has PostgreSQL's."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", ""), "/usr/sbin"])
    for name in PROGRAMS[server]:
        if found := shutil.which(name, path=path):
            return Path(found)
    raise MissingServerError(
        f"{PROGRAMS[server][0]} is not installed, and the tests against it cannot run. On Debian and Ubuntu: "
        f"`sudo apt-get install {DEBIAN[server]}`; elsewhere your system's package of that name. Then `make ecosystem` again."
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _exists(user: str) -> bool:
    try:
        return bool(pwd.getpwnam(user))
    except KeyError:
        return False


def _plain() -> dict[str, str]:
    """The environment with messages in English and nothing of PostgreSQL's own."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PG")}, "LC_ALL": "C"}


def install() -> None:
    """As root on Debian or Ubuntu: installs the servers that are missing, without starting them. Elsewhere it tells."""
    missing = []
    for name in PROGRAMS:
        try:
            find(name)
        except MissingServerError as error:
            missing.append(DEBIAN[name])
            print(error, file=sys.stderr)
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"--- installing {' '.join(missing)}", file=sys.stderr)
        # RUNLEVEL=1: the packages' scripts start services only at 2 and above.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        subprocess.run(["apt-get", "update", "-qq"], env=environment, check=True)
        words = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing]
        subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    install()
