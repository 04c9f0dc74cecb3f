"""Who may come in, what each may do, and which files a call may name. No browser is needed: the server is asked."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from app.cli.parser import main
from app.config import Settings, load_settings
from app.errors import InputError
from app.runs.folder.audit_log import entries
from app.runs.folder.run import Run
from app.runs.people.visits import fingerprint
from app.ui import server
from app.ui.calls import HEADER
from app.ui.library import RunLibrary
from app.ui.login import COOKIE, Login, local
from app.ui.media import PREFIX
from app.ui.server import build_app, read_login, run_ui
from app.ui.sessions import Attempts, Sessions
from app.ui.users import ROLES, User, Users, add_user, hash_password, may, read_users, remove_user

PASSWORD = "correct horse"
ROOT = Path(__file__).resolve().parents[2]
HERE = "http://127.0.0.1:7860"
NAMES = {"lena": "look", "carl": "correct", "eva": "erase"}


@pytest.fixture(autouse=True, scope="module")
def _quick_hashes() -> Iterator[None]:
    """A hash that is worth something takes a core for a moment each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.ui.users._HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        yield


@pytest.fixture(scope="module")
def users() -> Users:
    hashed = hash_password(PASSWORD)
    return Users({name: User(name, role, hashed) for name, role in NAMES.items()})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, small_run: ModuleType) -> Path:
    """Holds `runs/run`, `videos`, a scratch folder for uploads, and a harmless file that was never uploaded."""
    place = tmp_path_factory.mktemp("guarded")
    for name in ("runs", "videos", "scratch"):
        (place / name).mkdir()
    folder = small_run.write(place / "runs" / "run", ("left", "right"), 5)
    with Run.open(folder).ledger() as ledger:
        for row, key in enumerate((("left", 1), ("left", 2), ("right", 3)), 1):
            ledger.assign(*key, row, "tester")
    (place / "own.txt").write_text("harmless, and not uploaded")
    return place


@pytest.fixture(scope="module")
def settings(place: Path) -> Settings:
    return load_settings(assignments=[f"ui.source_folders=[{place / 'videos'}]"])


@pytest.fixture(scope="module")
def app(place: Path, settings: Settings, users: Users) -> Iterator[Any]:
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(place / "scratch")
    yield build_app(RunLibrary([], place / "runs"), settings, Login(users, 3600.0))
    os.environ.pop("GRADIO_TEMP_DIR")
    if before is not None:
        os.environ["GRADIO_TEMP_DIR"] = before


@pytest.fixture
def client(app: Any) -> Iterator[TestClient]:
    with TestClient(app, base_url=HERE, follow_redirects=False) as client:
        yield client


def log_in(client: TestClient, name: str, password: str = PASSWORD, **more: str) -> Any:
    client.cookies.clear()
    return client.post("/login", data={"user": name, "password": password, **more})


def said(answer: Any) -> str:
    return " ".join(one["text"] for one in json.loads(unquote(answer.headers.get(HEADER, "%5B%5D"))))


def endpoints(client: TestClient) -> list[dict[str, Any]]:
    """Return all calls that the pages can make."""
    found: list[dict[str, Any]] = client.get("/config").json()["dependencies"]
    return [one for one in found if one["backend_fn"]]


def call(client: TestClient, endpoint: dict[str, Any], data: list[Any], event: Any = None) -> Any:
    body = {"data": data, "event_data": event, "fn_index": endpoint["id"], "session_hash": "abc"}
    return client.post(f"/gradio_api/run/{endpoint['api_name']}", json=body)


def upload(client: TestClient, name: str, content: bytes) -> str:
    answer = client.post("/gradio_api/upload", files={"files": (name, content)})
    return str(answer.json()[0])


def test_no_call_takes_a_file_that_was_not_uploaded(client: TestClient, place: Path) -> None:
    """Every input of every call: any of them may be sent a file, whatever it is for."""
    log_in(client, "eva")
    own = place / "own.txt"
    asked = 0
    for endpoint in endpoints(client):
        for at in range(len(endpoint["inputs"])):
            for path in (str(own), str(place / "scratch" / ".." / "own.txt"), "http://127.0.0.1:9/own.txt"):
                file = {"path": path, "meta": {"_type": "gradio.FileData"}}
                for value in (file, [file]):
                    answer = call(
                        client, endpoint, [value if row == at else None for row in range(len(endpoint["inputs"]))]
                    )
                    assert answer.status_code == 403, endpoint["api_name"]
                    assert "not uploaded" in answer.text
                    asked += 1
    assert asked > 100
    assert [file.name for file in (place / "scratch").rglob("*") if file.read_bytes() == own.read_bytes()] == []


def test_gradio_itself_refuses_such_files_too(app: Any, client: TestClient, place: Path) -> None:
    """The same with the guard's own check taken away: two locks, and neither leans on the other."""
    inner = app._app
    log_in(client, "eva")
    infos = client.get("/gradio_api/info", params={"all_endpoints": True}).json()["named_endpoints"]
    takes = {
        name.strip("/") for name, info in infos.items() if any("File" in p["component"] for p in info["parameters"])
    }
    assert takes >= {"from_upload", "on_upload"}

    async def as_eva(scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("state", {}).update(user="eva", role="erase", login=True)
        await inner(scope, receive, send)

    bare = TestClient(as_eva, base_url=HERE)
    for endpoint in endpoints(client):
        if endpoint["api_name"] in takes:
            file = {"path": str(place / "own.txt"), "meta": {"_type": "gradio.FileData"}}
            answer = call(
                bare, endpoint, [[file] if endpoint["api_name"] == "on_upload" else file, []][: len(endpoint["inputs"])]
            )
            assert answer.status_code == 500
            assert "not uploaded" in answer.text


def test_an_upload_can_be_used_once_and_not_be_read_back(client: TestClient, place: Path) -> None:
    log_in(client, "eva")
    path = upload(client, "picture.jpg", b"no picture")
    assert Path(path).is_relative_to(place / "scratch")
    assert client.get(f"/gradio_api/file={path}").status_code == 404
    search = next(one for one in endpoints(client) if one["api_name"] == "from_upload")
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    first = call(client, search, [file])
    assert "no picture that can be read" in said(first)
    assert not Path(path).exists()
    assert call(client, search, [file]).status_code == 403


def test_a_server_that_is_terminated_leaves_no_upload(place: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "main.py", "ui", str(place / "runs" / "run"), "--port", str(port)]
    surroundings = os.environ | {"OMNITRACK_CACHE": str(tmp_path)}
    process = subprocess.Popen(words, cwd=ROOT, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert b"open http" in process.stdout.readline()
        answer = httpx.post(
            f"http://127.0.0.1:{port}/gradio_api/upload", files={"files": ("p.jpg", b"somebody")}, timeout=60
        )
        (path,) = answer.json()
        assert Path(path).read_bytes() == b"somebody"
        assert Path(path).is_relative_to(tmp_path / "uploads")
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.communicate()
    assert [file.name for file in (tmp_path / "uploads").iterdir()] == ["lock"]


def test_what_the_pages_do_not_need_is_not_there(client: TestClient) -> None:
    log_in(client, "eva")
    for path in ("/gradio_api/deep_link", "/gradio_api/proxy=x", "/gradio_api/vibe-code/", "/monitoring/summary",
                 "/gradio_api/dev/reload", "/gradio_api/token", "/gradio_api/openapi.json", "/docs"):  # fmt: skip
        assert client.get(path).status_code == 404, path
    assert client.post("/gradio_api/component_server", json={}).status_code == 404


def test_only_our_own_pages_may_ask(client: TestClient) -> None:
    log_in(client, "eva")
    own, run = {"Origin": HERE}, f"{PREFIX}/runs"
    calls = endpoints(client)
    say = {"data": [], "fn_index": calls[0]["id"], "session_hash": "abc"}
    post = f"/gradio_api/run/{calls[0]['api_name']}"
    assert client.post(post, json=say, headers=own | {"Sec-Fetch-Site": "same-origin"}).status_code == 200
    for foreign in (
        {"Origin": "http://elsewhere.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://localhost:7860"},
        {"Origin": "https://127.0.0.1:7860"},  # the same name and port, but not over this scheme
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # another port of this machine
        own | {"Sec-Fetch-Site": "same-site"},
    ):
        assert client.post(post, json=say, headers=foreign).status_code == 403, foreign
        assert client.get(run, headers=foreign).status_code == 403, foreign
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/people", headers=visit).status_code == 200
    assert client.get("/people", headers=visit | {"Sec-Fetch-Dest": "iframe"}).status_code == 403
    assert client.get(run, headers={"Sec-Fetch-Site": "none"}).status_code == 200
    assert client.get(run, headers={"Host": "elsewhere.example"}).status_code == 403
    assert client.options(post, headers=own | {"Access-Control-Request-Method": "POST"}).status_code == 403


def test_no_answer_opens_itself_to_other_pages(client: TestClient) -> None:
    log_in(client, "eva")
    for path in ("/", "/config", f"{PREFIX}/runs", "/theme.css"):
        answer = client.get(path, headers={"Origin": HERE})
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_nobody_comes_in_without_a_session(client: TestClient) -> None:
    asked = client.get("/person?person=1", headers={"Accept": "text/html"})
    assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2Fperson%3Fperson%3D1")
    for path in ("/config", f"{PREFIX}/runs", f"{PREFIX}/me", "/gradio_api/info", "/assets/index.js"):
        assert client.get(path).status_code == 401, path
    assert client.post("/gradio_api/upload", files={"files": ("a.jpg", b"")}).status_code == 401
    assert client.get(f"{PREFIX}/static/login.css").status_code == 200
    assert client.get(f"{PREFIX}/runs", headers={"Authorization": "Basic ZXZhOmNvcnJlY3QgaG9yc2U="}).status_code == 401
    assert log_in(client, "eva", "wrong horse").status_code == 401
    assert client.get(f"{PREFIX}/runs").status_code == 401


def test_a_session_begins_and_ends(client: TestClient) -> None:
    answer = log_in(client, "carl", next="/people?run=7")
    assert (answer.status_code, answer.headers["location"]) == (303, "/people?run=7")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=3600"} <= set(cookie.split("; "))
    assert client.get(f"{PREFIX}/me").json() == {"user": "carl", "role": "correct", "login": True}
    token = client.cookies[COOKIE]
    assert client.post("/logout").status_code == 303
    client.cookies.set(COOKIE, token)
    assert client.get(f"{PREFIX}/me").status_code == 401, "a cookie that was kept is worth nothing"


def test_cookies_are_for_https_only_where_there_is_https(app: Any) -> None:
    with TestClient(app, base_url=HERE.replace("http:", "https:"), follow_redirects=False) as client:
        assert "Secure" in log_in(client, "carl").headers["set-cookie"].split("; ")


def test_one_goes_on_to_own_pages_only() -> None:
    assert local("/people?run=7") == "/people?run=7"
    for elsewhere in (
        "//elsewhere.example",
        "https://elsewhere.example",
        "/\\elsewhere.example",
        "/a\nb",
        "",
        "/logout",
    ):
        assert local(elsewhere) == "/"


def test_failures_are_slowed_and_logged(users: Users, caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    login = Login(users, 3600.0, Attempts(lambda: now[0]))
    for _ in range(3):
        assert login.enter("eva", "wrong\nhorse", "10.0.0.9")[1] == "This name and password do not fit."
    assert "login failed for 'eva' from 10.0.0.9" in caplog.text
    assert "horse" not in caplog.text
    assert login.enter("eva", PASSWORD, "10.0.0.9")[0] is None, "even the right password has to wait now"
    now[0] += 1.1
    found = login.enter("eva", PASSWORD, "10.0.0.9")[0]
    assert found is not None
    assert found.role == "erase"
    attempts = Attempts(lambda: now[0])
    for _ in range(40):
        attempts.failed("10.0.0.9", "eva")
    assert attempts.wait_s("10.0.0.9", "carl") == 300.0
    assert attempts.wait_s("10.0.0.8", "eva") == 10.0, "nobody keeps a user out by failing for them"
    assert attempts.wait_s("10.0.0.8", "carl") == 0.0


def test_guesses_at_once_do_not_get_around_the_waiting(users: Users) -> None:
    login = Login(users, 3600.0)
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(login.enter("eva", "wrong horse", "10.0.0.9")[1]))
        for _ in range(7)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("do not fit" in answer for answer in answers) <= 4


def test_sessions_expire_and_follow_the_users(tmp_path: Path) -> None:
    now = [0.0]
    file = tmp_path / "users.json"
    add_user(file, "carl", "correct", PASSWORD)
    users = Users.read(file)
    sessions = Sessions(users, 100.0, lambda: now[0])
    carl = users.check("carl", PASSWORD)
    assert carl is not None
    token = sessions.begin(carl)
    assert sessions.user(token) == carl
    assert sessions.user(token + "x") is None
    file.write_text(file.read_text().replace('"correct"', '"look"'))
    changed = sessions.user(token)
    assert changed is not None
    assert changed.role == "look", "a role that was taken away counts at once"
    add_user(file, "carl", "look", "another horse")
    assert sessions.user(token) is None, "a new password ends the sessions of the old one"
    again = users.check("carl", "another horse")
    assert again is not None
    token = sessions.begin(again)
    now[0] = 100.1
    assert sessions.user(token) is None
    token = sessions.begin(again)
    remove_user(file, "carl")
    assert sessions.user(token) is None


def test_pages_that_were_opened_long_ago_are_forgotten_and_still_work(app: Any, client: TestClient) -> None:
    log_in(client, "lena")
    gradio = next(route.app for route in app._app._app.routes if hasattr(getattr(route, "app", None), "state_holder"))
    assert gradio.state_holder.capacity == server._MOST_SESSIONS
    calls = {one["api_name"]: one for one in endpoints(client)}
    gradio.state_holder.capacity = 3
    for number in range(5):
        body = {"data": [], "fn_index": calls["open_page"]["id"], "session_hash": f"page {number}"}
        assert client.post("/gradio_api/run/open_page", json=body).status_code == 200
    assert list(gradio.state_holder.session_data) == ["page 2", "page 3", "page 4"]
    # The list of cameras that page 0 shows is forgotten; what was chosen from it counts all the same.
    data = ["", "left", "", "", "First seen", "Cards"]
    body = {"data": data, "fn_index": calls["change"]["id"], "session_hash": "page 0"}
    assert "data-person" in client.post("/gradio_api/run/change", json=body).text
    gradio.state_holder.capacity = server._MOST_SESSIONS


def state_of(place: Path) -> dict[str, bytes]:
    """Return everything that a call could have changed; whoever looks leaves a line in the audit log."""
    return {
        str(file.relative_to(place)): file.read_bytes()
        for name in ("runs", "videos")
        for file in sorted((place / name).rglob("*"))
        if file.is_file() and not file.name.startswith(("audit.sqlite", "identities.sqlite-", "index", "lock"))
    }


EVENTS = (
    {"action": "undo-last"},
    {"action": "undo", "event": "1"},
    {"action": "take-out", "camera": "0", "track": "1"},
    {"action": "confirm", "camera": "0", "track": "1", "other_camera": "1", "other_track": "3"},
    {"action": "reject", "camera": "0", "track": "1", "other_camera": "1", "other_track": "3"},
    {"action": "yes", "camera": "0", "track": "1", "other_camera": "1", "other_track": "3"},
    {"action": "no", "camera": "0", "track": "1", "other_camera": "1", "other_track": "3"},
    {"action": "export"},
    {"action": "train"},
    {"action": "cancel", "job": "1"},
    {"action": "go-on", "job": "1"},
    {"action": "zone", "camera": "0", "name": "z", "points": "[[1,1],[9,1],[9,9]]"},
    {"action": "erase", "person": "1"},
    {"action": "purge"},
)


def test_who_may_only_look_changes_nothing(client: TestClient, place: Path) -> None:
    """Every call with every button there is: the role is asked for by the server, not only hidden on the page."""
    log_in(client, "lena")
    before = state_of(place)
    refused = set()
    inputs = {one["id"]: one for one in client.get("/config").json()["components"]}
    for endpoint in endpoints(client):
        data = [_likely(inputs[number]) for number in endpoint["inputs"]]
        takes_buttons = any(target[1] == "select" for target in endpoint["targets"])
        for event in EVENTS if takes_buttons else (None,):
            address = f"/gradio_api/run/{endpoint['api_name']}?person=1"
            body = {"data": data, "event_data": event, "fn_index": endpoint["id"], "session_hash": "look"}
            answer = client.post(address, json=body)
            if "Your role here is “look”" in said(answer):
                refused.add(endpoint["api_name"])
    assert state_of(place) == before
    assert refused >= {"on_name", "answer", "learn", "on_job", "on_upload", "on_start", "on_erase", "on_purge"}
    assert {name for name in refused if name.startswith("on_button")} >= {"on_button", "on_button_2", "on_button_3"}


def _likely(component: dict[str, Any]) -> Any:
    """Return a value that an input of a page may have."""
    if component["type"] == "textbox":
        return "x"
    return {"dropdown": None, "file": None}.get(component["type"], component["props"].get("value"))


def test_erasing_needs_its_own_role_and_is_noted_with_its_name(client: TestClient, place: Path) -> None:
    folder = place / "runs" / "run"
    button = {"action": "erase", "person": "3", "seen": fingerprint(Run.open(folder).identities(), 3)}
    erase = next(one for one in endpoints_of(client, "carl") if one["api_name"] == "on_erase")
    assert "this needs “erase”" in said(call(client, erase, [], button))
    assert 3 in Run.open(folder).identities().people()
    log_in(client, "eva")
    call(client, erase, [], button)
    assert 3 not in Run.open(folder).identities().people()
    assert ("eva", "erased", "person 3") in [(entry.actor, entry.action, entry.what) for entry in entries(folder)]


def endpoints_of(client: TestClient, name: str) -> list[dict[str, Any]]:
    log_in(client, name)
    return endpoints(client)


def test_a_role_includes_those_before_it() -> None:
    assert [[may(role, needed) for needed in ROLES] for role in ROLES] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_the_file_of_users_is_made_by_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "users.json"
    words = ["ui", "--users", str(file)]
    monkeypatch.setenv("OMNITRACK_PASSWORD", PASSWORD)
    assert main([*words, "--add-user", "ada", "--role", "correct", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"users": [{"name": "ada", "role": "correct"}]}
    assert file.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in file.read_text()
    assert read_users(file)["ada"].password.startswith("$argon2id$")
    assert Users.read(file).check("ada", PASSWORD) is not None
    assert main([*words, "--add-user", "machine:x", "--role", "look"]) == 2
    assert main([*words, "--add-user", "ui", "--role", "look"]) == 2
    assert main([*words, "--add-user", "bob"]) == 2
    assert main([*words, "--remove-user", "bob"]) == 2
    assert main(["ui", "--add-user", "bob", "--role", "look"]) == 2
    monkeypatch.setenv("OMNITRACK_PASSWORD", "short")
    assert main([*words, "--add-user", "bob", "--role", "look"]) == 2
    assert "8 to 512 characters" in capsys.readouterr().err
    assert main([*words, "--remove-user", "ada"]) == 0
    with pytest.raises(InputError, match="nobody is in it yet"):
        Users.read(file)
    file.write_text('{"users": [{"name": "ada", "role": "owner", "password": "plain"}]}')
    with pytest.raises(InputError, match="ada has no role"):
        Users.read(file)


def test_one_password_in_a_file_is_enough_for_one_user(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    user = read_login(f"ada:{file}").check("ada", PASSWORD)
    assert user is not None
    assert (user.name, user.role) == ("ada", "erase")
    assert user.password.startswith("$argon2id$")
    file.write_text("short")
    for bad in (f"ada:{file}", f"ada:{tmp_path / 'missing'}", "ada", f"machine:{file}"):
        with pytest.raises(InputError, match="--auth"):
            read_login(bad)


def test_other_machines_come_in_with_a_password_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--users or --auth"):
        run_ui([], load_settings(assignments=["ui.host=0.0.0.0"]))
    key = tmp_path / "key.pem"
    key.write_text("no key")
    with pytest.raises(InputError, match="--tls-certificate"):
        run_ui([], load_settings(), certificate=(key, key))
    assert main(["ui", "--tls-key", str(key)]) == 2
