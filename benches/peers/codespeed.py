"""Codespeed with as many results as ours, asked by as many clients: `python codespeed.py CHECKOUT PYTHON [RESULTS]`.

Beside `cargo xtask bench server`, which asks our own server. CHECKOUT is a working copy of github.com/tobami/codespeed,
PYTHON an interpreter with `django<2.2`, `isodate`, `matplotlib` and `gunicorn` (Python 3.9 is the newest on which that Django runs). Its
database is SQLite, filled by SQL in its own tables; uploads go through its own interface. Prints JSON.

What it shows of a run is a table of changes (`/changes/table/`), which it keeps once it was asked for: "new" is the first
time, by one client, since several that write at the same time are answered 500; "kept" is each later one. Its history is `/timeline/json/`. Times are milliseconds; processor time is that of its workers.
"""

import datetime
import http.client
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Callable

BENCHMARKS = 1000
CLIENTS = 16
TIMES = 5
UPLOADED = 5000
WORKERS = 2
PORT = 8765
TICKS = os.sysconf("SC_CLK_TCK")

SETTINGS = """
from sample_project.settings import *
DEBUG = False
ALLOWED_HOSTS = ["*"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {name!r}, "OPTIONS": {{"timeout": 600}}}}}}
DATA_UPLOAD_MAX_MEMORY_SIZE = None
TIME_ZONE = "UTC"
"""
APPLICATION = """
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""


def fill(database: Path, results: int) -> None:
    """Runs of a thousand benchmarks each, with values that differ."""
    runs = results // BENCHMARKS
    start = datetime.datetime(2020, 1, 1)
    with sqlite3.connect(database) as to:
        to.execute(
            "insert into codespeed_project(id, name, repo_type, repo_path, repo_user, repo_pass, commit_browsing_url, track,"
            " default_branch) values (1, 'p', 'N', '', '', '', '', 1, 'main')"
        )
        to.execute(
            "insert into codespeed_branch(id, name, project_id, display_on_comparison_page) values (1, 'main', 1, 1)"
        )
        to.execute(
            "insert into codespeed_executable(id, name, description, project_id) values (1, 'e', '', 1)"
        )
        to.execute(
            "insert into codespeed_environment(id, name, cpu, memory, os, kernel) values (1, 'v', '', '', '', '')"
        )
        to.executemany(
            "insert into codespeed_benchmark(id, name, benchmark_type, data_type, description, units_title, units,"
            " lessisbetter, default_on_comparison) values (?, ?, 'C', 'U', '', 'Time', 'seconds', 1, 1)",
            ((i + 1, f"test_module_{i // 20}.py::test_case[{i}]") for i in range(BENCHMARKS)),
        )
        to.executemany(
            "insert into codespeed_revision(id, commitid, tag, date, message, project_id, author, branch_id)"
            " values (?, ?, '', ?, '', 1, '', 1)",
            (
                (i + 1, f"{i:040x}", (start + datetime.timedelta(minutes=i)).isoformat(" "))
                for i in range(runs)
            ),
        )
        for run in range(runs):
            to.executemany(
                "insert into codespeed_result(value, date, revision_id, executable_id, benchmark_id, environment_id)"
                " values (?, ?, ?, 1, ?, 1)",
                (
                    (1 + (run * 7919 + i * 104729) % 1000 / 1e5, start.isoformat(" "), run + 1, i + 1)
                    for i in range(BENCHMARKS)
                ),
            )
        to.execute("analyze")


def processor(parent: int) -> float:
    """Seconds of the children of a process."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    used = 0
    for child in children:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used / TICKS


def ask(server: int, address: Callable[[int], str], clients: int = CLIENTS) -> dict[str, float]:
    """So many clients ask, each on its own; the number of a request chooses what it asks for."""
    waited: list[float] = []
    failed: list[str] = []

    def client(number: int) -> None:
        for time_ in range(TIMES):
            path = address(number * TIMES + time_)
            start = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=600)
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            waited.append((time.perf_counter() - start) * 1e3)
            if answer.status != 200:
                failed.append(f"{path}: {answer.status}")

    before = processor(server)
    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise RuntimeError(failed[0])
    waited.sort()
    return {
        "p50": waited[len(waited) // 2],
        "p95": waited[len(waited) * 95 // 100],
        "processor": (processor(server) - before) * 1e3 / len(waited),
    }


def upload(number: int) -> float:
    """Seconds of an upload of one run."""
    entries = [
        {
            "commitid": f"{0xABC000 + number:040x}",
            "branch": "main",
            "project": "p",
            "executable": "e",
            "benchmark": f"test_wide_{i // 20}.py::test_case[{i}]",
            "environment": "v",
            "result_value": 1.5,
            "revision_date": "2024-01-01 00:00:00",
        }
        for i in range(UPLOADED)
    ]
    body = urllib.parse.urlencode({"json": json.dumps(entries)})
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=3600)
    start = time.perf_counter()
    connection.request(
        "POST", "/result/add/json/", body, {"Content-Type": "application/x-www-form-urlencoded"}
    )
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 202:
        raise RuntimeError(text[:300].decode())
    return time.perf_counter() - start


def main(checkout: Path, python: str, results: int) -> dict[str, object]:
    """Fills, serves, asks."""
    runs = results // BENCHMARKS
    with tempfile.TemporaryDirectory() as home:
        database = Path(home) / "data.db"
        Path(home, "peer_settings.py").write_text(SETTINGS.format(name=str(database)))
        Path(home, "peer_wsgi.py").write_text(APPLICATION)
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "peer_settings",
            "PYTHONPATH": f"{home}:{checkout}",
        }
        migrate = [python, "-m", "django", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, env=environment, cwd=checkout, check=True)
        start = time.perf_counter()
        fill(database, results)
        print(f"filled in {time.perf_counter() - start:.0f} s", file=sys.stderr)
        serve = [
            python,
            "-m",
            "gunicorn",
            "--bind",
            f"127.0.0.1:{PORT}",
            "--workers",
            str(WORKERS),
            "--timeout",
            "3600",
        ]
        server = subprocess.Popen(
            [*serve, "--log-level", "error", "peer_wsgi"], env=environment, cwd=checkout
        )
        try:
            while True:
                try:
                    http.client.HTTPConnection("127.0.0.1", PORT).connect()
                    break
                except ConnectionRefusedError:
                    time.sleep(0.05)
            name = urllib.parse.quote("test_module_0.py::test_case[0]")
            table = "/changes/table/?exe=1&env=1&tre=10&rev="
            found: dict[str, object] = {
                "results": results,
                "bytes": database.stat().st_size,
                "history": ask(
                    server.pid, lambda _: f"/timeline/json/?exe=1&env=1&ben={name}&revs=1000&base=none"
                ),
                "new": ask(server.pid, lambda number: f"{table}{runs - 1 - number % (runs - 11):040x}", 1),
                "kept": ask(server.pid, lambda _: f"{table}{runs - 1:040x}"),
                "changes": ask(server.pid, lambda _: "/changes/"),
                "home": ask(server.pid, lambda _: "/"),
            }
            uploads = [upload(number) for number in range(2)]
            found["upload"] = {"benchmarks": UPLOADED, "seconds": uploads}
            return found
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    print(
        json.dumps(
            main(Path(sys.argv[1]).resolve(), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 100_000)
        )
    )
