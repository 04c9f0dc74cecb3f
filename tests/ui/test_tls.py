"""HTTPS with a certificate that an authority signed through another one, as on a network of one's own."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from argon2 import PasswordHasher

from app.ui.login import COOKIE
from app.ui.media import PREFIX
from app.ui.users import add_user

PASSWORD = "correct horse"
ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[middle]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[server]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def make_chain(folder: Path) -> None:
    """Write `root.pem`, and `chain.pem` and `server.key` of a server whose certificate the root signed indirectly."""
    (folder / "openssl.cnf").write_text(CONFIG)
    for name, signer in (("root", ""), ("middle", "root"), ("server", "middle")):
        made = "-config openssl.cnf -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout"
        words = [*f"openssl req {made} {name}.key -out {name}.csr".split(), "-subj", f"/CN={name} of a test"]
        subprocess.run(words, cwd=folder, check=True, capture_output=True)
        by = f"-CA {signer}.pem -CAkey {signer}.key -CAcreateserial" if signer else f"-signkey {name}.key"
        signing = (
            f"openssl x509 -req -in {name}.csr {by} -days 2 -extfile openssl.cnf -extensions {name} -out {name}.pem"
        )
        subprocess.run(signing.split(), cwd=folder, check=True, capture_output=True)
    (folder / "chain.pem").write_bytes((folder / "server.pem").read_bytes() + (folder / "middle.pem").read_bytes())


def test_whoever_trusts_the_authority_comes_in_and_nobody_without_tls(
    tmp_path: Path, small_run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificates, is not installed")
    make_chain(tmp_path)
    monkeypatch.setattr("app.ui.users._HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    add_user(tmp_path / "users.json", "eva", "erase", PASSWORD)
    folder = small_run.write(tmp_path / "run")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "main.py", "ui", str(folder), "--port", str(port), "--users", str(tmp_path / "users.json")]
    words += ["--tls-certificate", str(tmp_path / "chain.pem"), "--tls-key", str(tmp_path / "server.key")]
    surroundings = os.environ | {"OMNITRACK_CACHE": str(tmp_path / "cache")}
    server = subprocess.Popen(words, cwd=ROOT, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert server.stdout is not None
        assert server.stdout.readline().startswith(f"open https://127.0.0.1:{port} ".encode())
        trusting = ssl.create_default_context(cafile=tmp_path / "root.pem")
        with httpx.Client(verify=trusting, base_url=f"https://127.0.0.1:{port}", timeout=60) as client:
            asked = client.get("/people", headers={"Accept": "text/html"})
            assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2Fpeople")
            own = {"Origin": f"https://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}
            entered = client.post("/login", data={"user": "eva", "password": PASSWORD}, headers=own)
            assert entered.status_code == 303
            cookie = entered.headers["set-cookie"]
            assert cookie.startswith(f"{COOKIE}=")
            assert {"Secure", "HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
            assert client.get(f"{PREFIX}/me").json() == {"user": "eva", "role": "erase", "login": True}
            plain = {"Origin": f"http://127.0.0.1:{port}"}
            assert client.get(f"{PREFIX}/me", headers=plain).status_code == 403, "a page that came in the clear"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"https://127.0.0.1:{port}/login", timeout=60)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/login", timeout=60)
    finally:
        server.kill()
        server.communicate()
