"""The queue of jobs, with short programs in place of `main.py`; and videos that visitors bring. No browser."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from app.config import Settings
from app.errors import InputError
from app.ui import jobs as jobs_module
from app.ui.jobs import JobRecord, Jobs
from app.ui.video_reader import keep_upload

FAKE = """
import json, os, sys, time
open({seen!r}, 'a').write(sys.argv[1] + '\\n')
output = sys.argv[sys.argv.index('--output') + 1]
if '--sources' in sys.argv:
    os.makedirs(output, exist_ok=True)
    open(output + '/run.json', 'w').close()
    while 'short' in sys.argv[3] and not os.path.exists({end!r}): time.sleep(0.02)
if 'fail' in output: sys.exit('it broke')
if '--sources' in sys.argv and 'slow' in sys.argv[3]: time.sleep(30)
print(json.dumps({{'command': sys.argv[1]}}))
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    monkeypatch.setattr(jobs_module, "_MAIN", FAKE.format(seen=str(tmp_path / "seen"), end=str(tmp_path / "end")))
    return Jobs(tmp_path / "runs")


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def start(jobs: Jobs, source: str) -> JobRecord:
    return jobs.start_run([Path(source)], ["door"], ["--device", "cpu"], Settings())


def test_jobs_run_one_after_the_other_without_a_page(jobs: Jobs) -> None:
    first, second = start(jobs, "slow.mp4"), start(jobs, "b.mp4")
    assert (first.state, second.state) == ("running", "waiting")
    assert first.folder != second.folder
    jobs.cancel(first.number)
    wait(lambda: second.state == "finished")
    assert first.state == "cancelled"
    assert second.result() == {"command": "track"}
    assert [job.number for job in jobs.all()] == [2, 1]
    words = second.commands[0]
    assert words[: words.index("--output")] == ["track", "--sources", "b.mp4"]
    assert words[-4:] == ["--names", "door", "--device", "cpu"]


def test_a_job_that_waits_can_be_cancelled(jobs: Jobs) -> None:
    first, second = start(jobs, "slow.mp4"), start(jobs, "b.mp4")
    jobs.cancel(second.number)
    jobs.cancel(first.number)
    wait(lambda: first.is_over)
    assert (first.state, second.state, second.started) == ("cancelled", "cancelled", 0.0)


def test_a_job_can_be_stopped_by_a_server_that_a_script_started_in_the_background(jobs: Jobs) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        job = start(jobs, "slow.mp4")
        jobs.cancel(job.number)
        wait(lambda: job.is_over)
    finally:
        signal.signal(signal.SIGINT, before)
    assert job.state == "cancelled"


def test_a_training_is_an_export_and_then_a_training(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.start_training(tmp_path / "run", ["--config", "f.yaml"])
    wait(lambda: job.is_over)
    assert job.state == "finished"
    assert (tmp_path / "seen").read_text().split() == ["export", "train"]
    assert job.result() == {"command": "train"}
    data = job.commands[0][job.commands[0].index("--output") + 1]
    assert Path(data).parent == tmp_path / "run" / "export" / "training"
    assert job.commands[1][:3] == ["train", "--data", data]
    assert job.folder.parent == tmp_path / "runs" / "trained"


def test_a_failure_ends_a_job_and_is_told(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.start_training(tmp_path / "fail", [])
    wait(lambda: job.is_over)
    assert (job.state, job.said(), job.result()) == ("failed", "it broke", {})
    assert (tmp_path / "seen").read_text().split() == ["export"]


def restarted(jobs: Jobs) -> Jobs:
    """Return what a server finds that starts after the one of `jobs` is gone; that one does nothing any more."""
    jobs._start_next = lambda: None
    jobs._launch = lambda job: None
    jobs.close()
    return Jobs(jobs._root)


def the(jobs: Jobs, number: int) -> JobRecord:
    return next(job for job in jobs.all() if job.number == number)


def test_a_server_that_starts_anew_finds_what_runs_and_starts_what_waits(jobs: Jobs, tmp_path: Path) -> None:
    start(jobs, "short.mp4"), start(jobs, "b.mp4")
    done = jobs.start_export(tmp_path / "run")
    jobs.cancel(done.number)
    jobs = restarted(jobs)
    assert [job.state for job in jobs.all()] == ["cancelled", "waiting", "running"]
    (tmp_path / "end").touch()
    wait(lambda: the(jobs, 2).is_over)
    assert [job.state for job in jobs.all()] == ["cancelled", "finished", "finished"]
    assert (tmp_path / "seen").read_text().split() == ["track", "track"]
    assert start(jobs, "b.mp4").number == 4
    again = restarted(jobs)
    assert the(again, 1).state == "finished"
    assert the(again, 1).ended > 0


def test_a_server_that_starts_anew_can_stop_what_an_earlier_one_started(jobs: Jobs) -> None:
    start(jobs, "slow.mp4")
    jobs = restarted(jobs)
    jobs.cancel(1)
    wait(lambda: the(jobs, 1).is_over)
    assert the(jobs, 1).state == "cancelled"


def test_a_training_goes_from_step_to_step_under_another_server(jobs: Jobs, tmp_path: Path) -> None:
    start(jobs, "short.mp4")
    jobs.start_training(tmp_path / "run", [])
    jobs = restarted(jobs)
    (tmp_path / "end").touch()
    wait(lambda: the(jobs, 2).is_over)
    assert (the(jobs, 2).state, the(jobs, 2).step) == ("finished", 1)
    assert (tmp_path / "seen").read_text().split() == ["track", "export", "train"]


def test_what_was_interrupted_can_go_on(jobs: Jobs, tmp_path: Path) -> None:
    job = start(jobs, "short.mp4")
    wait((job.folder / "run.json").exists)
    process = jobs._processes[job.number]
    jobs.close()
    jobs._lock.acquire()  # a server that is gone sees no job end
    process.kill()
    process.wait()
    found = Jobs(jobs._root)
    assert the(found, 1).state == "interrupted"
    assert the(found, 1).can_go_on
    (tmp_path / "end").touch()
    found.go_on(1)
    wait(lambda: the(found, 1).is_over)
    assert the(found, 1).state == "finished"
    assert the(found, 1).commands[0][-1] == "--resume"
    assert the(found, 1).commands[0].count("--resume") == 1
    found.go_on(1)
    assert the(found, 1).state == "finished", "what is finished stays so"


def test_a_number_that_another_process_has_now_is_not_taken_for_the_job(jobs: Jobs, tmp_path: Path) -> None:
    job = start(jobs, "slow.mp4")
    process = jobs._processes[job.number]
    job.process_id, job.process_began = os.getpid(), 1.0
    jobs._save()
    jobs.close()
    jobs._lock.acquire()
    process.kill()
    assert the(Jobs(jobs._root), 1).state == "interrupted"


def test_two_servers_do_not_look_after_the_same_jobs(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    start(jobs, "slow.mp4"), start(jobs, "b.mp4")
    other = Jobs(jobs._root)
    assert other.all() == []
    assert "forgotten" in caplog.text
    jobs.cancel(2), jobs.cancel(1)
    wait(lambda: the(jobs, 1).is_over)
    jobs.close()
    assert start(other, "c.mp4").number == 3, "once the first is gone, the other takes over and counts on"
    assert [job.number for job in other.all()] == [3, 2, 1]
    wait(lambda: the(other, 3).is_over)


def test_a_list_of_jobs_that_cannot_be_read_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "runs" / ".jobs"
    folder.mkdir(parents=True)
    (folder / "jobs.json").write_text('[{"number": "first"}]')
    assert Jobs(tmp_path / "runs").all() == []
    assert (folder / "jobs.damaged").read_text() == '[{"number": "first"}]'
    assert "jobs.json: cannot be read" in caplog.text


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where uploads of this server lie."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


def test_an_uploaded_video_gets_a_name_of_our_own(scratch: Path, tmp_path: Path, small_videos: ModuleType) -> None:
    folder = tmp_path / "uploads"
    names = []
    for row in range(2):
        upload = tmp_path / f"upload{row}"
        small_videos.write(upload.with_suffix(".mp4"), 6)
        names.append(keep_upload(upload.with_suffix(".mp4"), folder, "../../Hof <Süd>.exe", 10**6).name)
    assert names == ["Hof__S_d.mp4", "Hof__S_d_2.mp4"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("content", [b"", b"not a video", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"])
def test_what_is_no_video_is_refused(scratch: Path, tmp_path: Path, content: bytes) -> None:
    upload = tmp_path / "upload.mp4"
    upload.write_bytes(content)
    with pytest.raises(InputError, match="no video"):
        keep_upload(upload, tmp_path / "uploads", "door.mp4", 10**6)
    assert not (tmp_path / "uploads").exists()
    assert not upload.exists()
    upload.write_bytes(bytes(101))
    with pytest.raises(InputError, match="larger"):
        keep_upload(upload, tmp_path / "uploads", "door.mp4", 100)
    with pytest.raises(InputError, match="not uploaded here"):
        keep_upload(Path(__file__), tmp_path / "uploads", "door.mp4", 10**6)
    assert Path(__file__).is_file()


def test_a_playlist_that_names_a_video_is_refused(scratch: Path, tmp_path: Path, small_videos: ModuleType) -> None:
    small_videos.write(tmp_path / "secret.mp4", 6)
    upload = tmp_path / "upload.mp4"
    upload.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path / 'secret.mp4'}\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError, match="no video"):
        keep_upload(upload, tmp_path / "uploads", "door.mp4", 10**6)
