"""Rows: what passes through files, the environment, a database, queues; and writes outward."""

from __future__ import annotations

import csv
import gzip
import json
import os
import pickle
import queue
import shelve
import shutil
import socket
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

from tests.hidden.kit import Case, Saw, State, Table, beside, next_round, rounds, row
from tests.hidden.quartet import quartet
from tests.hidden.waiting import apause

TABLE: Table = {}
WRITES = "outward write"
READS = "outside read while another node writes"


@row(TABLE, WRITES)
def file_by_path(place: Path) -> Case:
    file = place / "names.txt"
    file.write_text("")

    async def remember(who: str) -> None:
        file.write_text(file.read_text() + who)

    async def recall() -> str:
        return file.read_text()

    return Case(quartet(remember, recall), effect=file.read_text)


@row(TABLE, WRITES, READS)
def file_by_open(place: Path) -> Case:
    file = place / "names.txt"
    file.write_text("")

    async def remember(who: str) -> None:
        with open(file, "a") as opened:
            opened.write(who)

    async def recall() -> str:
        with open(file) as opened:
            return opened.read()

    return Case(quartet(remember, recall), effect=file.read_text)


@row(TABLE, WRITES, READS)
def file_by_helpers(place: Path) -> Case:
    file = place / "names.json"
    file.write_text("[]")

    def load() -> Any:
        return json.loads(file.read_text())

    def save(names: list[str]) -> None:
        with file.open("w") as opened:
            json.dump(names, opened)

    async def remember(who: str) -> None:
        save([*load(), who])

    async def recall() -> Any:
        return load()

    return Case(quartet(remember, recall), effect=load)


@row(TABLE, WRITES, READS)
def file_by_csv(place: Path) -> Case:
    file = place / "names.csv"
    file.write_text("")

    async def remember(who: str) -> None:
        with open(file, "a", newline="") as opened:
            csv.writer(opened).writerow([who, "was here"])

    async def recall() -> Any:
        with open(file, newline="") as opened:
            return list(csv.reader(opened))

    return Case(quartet(remember, recall), effect=file.read_text)


@row(TABLE, WRITES, READS)
def file_by_pickle(place: Path) -> Case:
    file = place / "names.pickle"
    file.write_bytes(pickle.dumps([]))

    async def remember(who: str) -> None:
        with file.open("rb") as opened:
            names = pickle.load(opened)
        with file.open("wb") as opened:
            pickle.dump([*names, who], opened)

    async def recall() -> Any:
        with file.open("rb") as opened:
            return pickle.load(opened)

    return Case(quartet(remember, recall))


@row(TABLE, WRITES, READS)
def file_that_appears(place: Path) -> Case:
    async def remember(who: str) -> None:
        (place / who).touch()

    async def recall() -> list[bool]:
        return [(place / who).exists() for who in ("left", "right")]

    return Case(quartet(remember, recall), effect=lambda: sorted(os.listdir(place)))


@row(TABLE, WRITES, READS)
def file_that_goes(place: Path) -> Case:
    for who in ("left", "right"):
        (place / who).touch()

    async def remember(who: str) -> None:
        os.remove(place / who)

    async def recall() -> list[str]:
        return sorted(os.listdir(place))

    return Case(quartet(remember, recall), effect=lambda: sorted(os.listdir(place)))


@row(TABLE, WRITES, READS)
def file_that_is_copied(place: Path) -> Case:
    (place / "source").write_text("text")

    async def remember(who: str) -> None:
        shutil.copy(place / "source", place / who)

    async def recall() -> list[str]:
        return sorted(path.name for path in place.glob("*"))

    return Case(quartet(remember, recall), effect=lambda: sorted(os.listdir(place)))


# On threads the two that read would move each other's position, under LangGraph too.
@row(TABLE, "shared container", twins=("async",))
def file_kept_open(place: Path) -> Case:
    log = (place / "log.txt").open("w+")

    async def remember(who: str) -> None:
        log.write(f"{who}\n")
        log.flush()

    async def recall() -> str:
        log.seek(0)
        return log.read()

    return Case(quartet(remember, recall), close=log.close)


@row(TABLE, WRITES, READS)
def environment_variable(place: Path) -> Case:
    name = "ALTO_TEST_OF_HIDDEN_CHANNELS"
    os.environ.pop(name, None)

    async def remember(who: str) -> None:
        os.environ[name] = os.environ.get(name, "") + who

    async def recall() -> str:
        return os.getenv(name, "")

    return Case(quartet(remember, recall), effect=lambda: os.environ.pop(name))


@row(TABLE, WRITES, READS)
def working_directory(place: Path) -> Case:
    before = os.getcwd()

    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        os.chdir(place)
        return {"right": "done"}

    async def after_left(state: State) -> State:
        return {"after_left": os.getcwd() == before}

    return Case(beside(State, [left, after_left], [right]), effect=lambda: os.chdir(before))


def database(place: Path) -> Path:
    """A database with an empty table of names."""
    file = place / "names.db"
    with sqlite3.connect(file) as connection:
        connection.execute("create table names (number integer primary key, name text)")
    connection.close()
    return file


def names_in(file: Path) -> list[str]:
    connection = sqlite3.connect(file)
    try:
        return [name for (name,) in connection.execute("select name from names order by number")]
    finally:
        connection.close()


@row(TABLE, WRITES, READS)
def database_row(place: Path) -> Case:
    file = database(place)

    async def remember(who: str) -> None:
        connection = sqlite3.connect(file)
        with connection:
            connection.execute("insert into names (name) values (?)", (who,))
        connection.close()

    async def recall() -> list[str]:
        return names_in(file)

    return Case(quartet(remember, recall), effect=lambda: names_in(file))


@row(TABLE, WRITES, READS)
def database_row_by_a_shared_connection(place: Path) -> Case:
    connection = sqlite3.connect(database(place), check_same_thread=False)

    async def remember(who: str) -> None:
        connection.execute("insert into names (name) values (?)", (who,))
        connection.commit()

    async def recall() -> Any:
        return connection.execute("select count(*) from names").fetchone()[0]

    return Case(quartet(remember, recall), close=connection.close)


@row(TABLE, WRITES)
def database_row_by_a_class_of_the_app(place: Path) -> Case:
    class Names:
        def __init__(self, file: Path) -> None:
            self.file = file

        def _run(self, sql: str, *values: Any) -> list[Any]:
            connection = sqlite3.connect(self.file)
            try:
                with connection:
                    return connection.execute(sql, values).fetchall()
            finally:
                connection.close()

        def keep(self, name: str) -> None:
            self._run("insert into names (name) values (?)", name)

        def all(self) -> list[Any]:
            return self._run("select name from names order by number")

    names = Names(database(place))

    async def remember(who: str) -> None:
        names.keep(who)

    async def recall() -> list[Any]:
        return names.all()

    return Case(quartet(remember, recall), effect=names.all)


@row(TABLE, WRITES)
def queue_between_nodes(place: Path) -> Case:
    waiting: queue.Queue[str] = queue.Queue()

    async def remember(who: str) -> None:
        waiting.put(who)

    async def recall() -> int:
        return waiting.qsize()

    return Case(quartet(remember, recall), effect=lambda: list(waiting.queue))


@row(TABLE, WRITES)
def order_of_a_queue(place: Path) -> Case:
    """Nobody in the graph reads it; whoever does gets LangGraph's order."""
    outbox: queue.SimpleQueue[str] = queue.SimpleQueue()

    async def left(state: State) -> State:
        await apause("left")
        outbox.put("left")
        return {"left": "sent"}

    async def right(state: State) -> State:
        await apause("right")
        outbox.put("right")
        return {"right": "sent"}

    async def after_left(state: State) -> State:
        outbox.put("after left")
        return {"after_left": "sent"}

    chains = [left, after_left], [right]
    return Case(beside(State, *chains), effect=lambda: [outbox.get() for _ in range(3)])


@row(TABLE, WRITES)
def order_of_lines_in_a_file(place: Path) -> Case:
    file = place / "log.txt"

    async def left(state: State) -> State:
        await apause("left")
        with file.open("a") as log:
            log.write("left\n")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        with file.open("a") as log:
            log.write("right\n")
        return {"right": "done"}

    async def after_left(state: State) -> State:
        with file.open("a") as log:
            log.write("after left\n")
        return {"after_left": "done"}

    return Case(beside(State, [left, after_left], [right]), effect=file.read_text)


@row(TABLE, WRITES)
def lines_of_the_tasks_of_one_node(place: Path) -> Case:
    file = place / "log.txt"

    async def work(arg: Any) -> Any:
        await apause(arg["who"])
        with file.open("a") as log:
            log.write(f"{arg['who']} {arg['round']}\n")
        return next_round(arg, "wrote")

    return Case(rounds(work, Saw), effect=file.read_text)


@row(TABLE, WRITES)
def write_that_an_error_prevents(place: Path) -> Case:
    """After an error LangGraph begins no further step, so nothing may be written."""
    file = place / "log.txt"
    file.write_text("")

    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        raise ValueError("no")

    async def after_left(state: State) -> State:
        file.write_text("written")
        return {"after_left": "done"}

    return Case(beside(State, [left, after_left], [right]), effect=file.read_text)


@row(TABLE, "shared container")
def call_that_an_error_prevents(place: Path) -> Case:
    calls: list[str] = []

    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        raise ValueError("no")

    async def after_left(state: State) -> State:
        calls.append("after left")
        return {"after_left": "done"}

    return Case(beside(State, [left, after_left], [right]), effect=lambda: calls)


@row(TABLE, WRITES)
def pair_of_sockets(place: Path) -> Case:
    near, far = socket.socketpair()
    far.setblocking(False)

    def received() -> str:
        try:
            return far.recv(100, socket.MSG_PEEK).decode()
        except BlockingIOError:
            return ""

    async def remember(who: str) -> None:
        near.sendall(who.encode())

    async def recall() -> str:
        return received()

    def close() -> None:
        near.close()
        far.close()

    return Case(quartet(remember, recall), effect=received, close=close)


@row(TABLE, WRITES, READS)
def file_beside_another(place: Path) -> Case:
    first = place / "first.txt"
    first.write_text("")

    async def remember(who: str) -> None:
        (first.parent / who).write_text(who)

    async def recall() -> list[bool]:
        return [first.with_name(who).exists() for who in ("left", "right")]

    return Case(quartet(remember, recall))


@row(TABLE, WRITES, READS)
def file_of_another_name(place: Path) -> Case:
    first = place / "left.txt"
    first.write_text("")

    async def remember(who: str) -> None:
        first.with_stem(who).with_suffix(".done").write_text(who)

    async def recall() -> int:
        return len(list(place.glob("*.done")))

    return Case(quartet(remember, recall))


@row(TABLE, WRITES)
def csv_writer_that_is_kept(place: Path) -> Case:
    file = (place / "log.csv").open("w+", newline="")
    writer = csv.writer(file)

    async def remember(who: str) -> None:
        writer.writerow([who])

    async def recall() -> str:
        file.flush()
        return (place / "log.csv").read_text()

    return Case(quartet(remember, recall), close=file.close)


@row(TABLE, WRITES, READS)
def file_that_is_printed_into(place: Path) -> Case:
    file = (place / "log.txt").open("w", buffering=1)

    async def remember(who: str) -> None:
        print(who, file=file)

    async def recall() -> str:
        return (place / "log.txt").read_text()

    return Case(quartet(remember, recall), close=file.close)


@row(TABLE, WRITES, READS)
def file_that_is_dumped_into(place: Path) -> Case:
    file = (place / "log.json").open("w", buffering=1)

    async def remember(who: str) -> None:
        json.dump({who: "\n"}, file, indent=1)

    async def recall() -> str:
        return (place / "log.json").read_text()

    return Case(quartet(remember, recall), close=file.close)


@row(TABLE, WRITES, READS)
def file_by_codecs_and_gzip(place: Path) -> Case:
    file = place / "log.gz"

    async def remember(who: str) -> None:
        with gzip.open(file, "at") as opened:
            opened.write(who)

    async def recall() -> str:
        if not file.exists():
            return ""
        with gzip.open(file, "rt") as opened:
            return str(opened.read())

    return Case(quartet(remember, recall))


@row(TABLE, WRITES, READS)
def archive(place: Path) -> Case:
    file = place / "names.zip"

    async def remember(who: str) -> None:
        with zipfile.ZipFile(file, "a") as opened:
            opened.writestr(who, who)

    async def recall() -> list[str]:
        with zipfile.ZipFile(file) as opened:
            return opened.namelist()

    return Case(quartet(remember, recall))


@row(TABLE, WRITES)
def shelf(place: Path) -> Case:
    file = str(place / "names")

    async def remember(who: str) -> None:
        with shelve.open(file) as opened:
            opened[who] = 1

    async def recall() -> list[str]:
        with shelve.open(file, flag="r") as opened:
            return sorted(opened)

    return Case(quartet(remember, recall))
