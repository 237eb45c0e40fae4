"""A local store publishes each file whole and once, replaces only the version that was read, and locks its folder."""

import fcntl
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from klue_beam.transforms.base.stores.base import (
    DatasetInUseError,
    Entry,
    ObjectChangedError,
    Stat,
    StoreError,
)
from klue_beam.transforms.base.stores.local import LocalStore
from klue_beam.transforms.base.stores.opening import locate


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "out"))


def finished(store: LocalStore, content: bytes) -> Path:
    path = store.attempt_path("part.parquet")
    path.write_bytes(content)
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_file_is_put_once_and_read_back_whole_and_in_part(store: LocalStore) -> None:
    assert store.put_if_absent("data/가.txt", b"0123456789")
    assert not store.put_if_absent("data/가.txt", b"another")
    assert store.read("data/가.txt") == b"0123456789"
    assert store.read("data/가.txt", 3) == b"3456789"
    assert store.read("data/가.txt", 3, 5) == b"34"
    with store.open_arrow("data/가.txt") as file:
        assert file.read(4) == b"0123"
    assert files(Path(store.url)) == ["data/가.txt"]


def test_a_finished_file_is_put_without_a_copy_and_stays_its_makers_to_throw_away(store: LocalStore) -> None:
    path = finished(store, b"whole")
    assert store.put_if_absent("data/part.parquet", path)
    assert os.path.samefile(path, store.address("data/part.parquet"))
    path.unlink()
    assert store.read("data/part.parquet") == b"whole"


def test_attempt_paths_keep_the_suffix_and_differ(store: LocalStore) -> None:
    first, second = store.attempt_path("part.rejects.parquet"), store.attempt_path("part.rejects.parquet")
    assert first != second
    assert re.fullmatch(r"part\.rejects-[0-9a-f]{32}\.parquet", first.name)
    assert not first.exists()


def test_a_file_has_a_size_and_a_version_and_none_has_none(store: LocalStore, tmp_path: Path) -> None:
    store.put_if_absent("a.txt", b"123")
    assert store.stat("a.txt") == Stat(3, str((tmp_path / "out/a.txt").stat().st_mtime_ns))
    assert store.stat("b.txt") is None
    assert store.stat("a.txt/b") is None


def test_what_is_absent_cannot_be_opened(store: LocalStore) -> None:
    for read in (store.open, store.open_arrow, store.read):
        with pytest.raises(FileNotFoundError):
            read("none.txt")


def test_another_version_than_the_one_asked_for_is_not_read(store: LocalStore) -> None:
    store.put_if_absent("a.txt", b"old")
    version = store.stat("a.txt").version
    assert store.read("a.txt", version=version) == b"old"
    assert store.replace("a.txt", b"new", version)
    message = rf"{store.url}/a\.txt must still be version {version}, got \d+: it was written again since\. Restore it"
    for read in (store.open, store.open_arrow):
        with pytest.raises(ObjectChangedError, match=message):
            read("a.txt", version)


def test_only_the_version_that_was_read_is_replaced(store: LocalStore) -> None:
    store.put_if_absent("plan", b"1")
    seen = [store.stat("plan").version]
    for number in range(2, 30):  # many within one step of the file system's clock
        assert store.replace("plan", str(number).encode(), seen[-1])
        assert not store.replace("plan", b"late", seen[-1])
        seen.append(store.stat("plan").version)
    assert store.read("plan") == b"29"
    assert len(set(seen)) == 29
    assert not store.replace("none", b"1", seen[-1])
    assert files(Path(store.url)) == ["plan"]


def test_a_finished_file_replaces_as_bytes_do(store: LocalStore) -> None:
    store.put_if_absent("plan", b"1")
    path = finished(store, b"2")
    assert store.replace("plan", path, store.stat("plan").version)
    path.unlink()
    assert store.read("plan") == b"2"
    assert files(Path(store.url)) == ["plan"]


def test_of_many_who_replace_one_version_one_does(store: LocalStore) -> None:
    store.put_if_absent("plan", b"0")
    version = store.stat("plan").version
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: store.replace("plan", str(n).encode(), version), range(1, 17)))
    assert done.count(True) == 1
    assert store.read("plan") == str(done.index(True) + 1).encode()


def test_of_many_who_put_one_name_one_does(store: LocalStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: store.put_if_absent("data/a", bytes([n]) * 10_000), range(16)))
    assert done.count(True) == 1
    assert store.read("data/a") == bytes([done.index(True)]) * 10_000
    assert files(Path(store.url)) == ["data/a"]


def test_overwriting_leaves_the_last_content(store: LocalStore) -> None:
    for content in (b"1", b"2", b"2"):
        store.overwrite("_SUCCESS", content)
        assert store.read("_SUCCESS") == content


def test_deleting_takes_a_file_away_and_does_nothing_where_none_is(store: LocalStore) -> None:
    store.put_if_absent("a", b"1")
    store.delete("a")
    store.delete("a")
    assert store.stat("a") is None


def test_a_listing_is_in_the_order_of_keys_and_below_a_prefix(store: LocalStore, tmp_path: Path) -> None:
    for key in ("data/b", "data/a/x", "data/a.txt", "data", "plan"):
        if key != "data":
            store.put_if_absent(key, key.encode())
    listed = list(store.list())
    assert [entry.key for entry in listed] == ["data/a.txt", "data/a/x", "data/b", "plan"]
    assert [entry.key for entry in listed] == sorted(entry.key for entry in listed)
    assert listed[0] == Entry("data/a.txt", 10, str((tmp_path / "out/data/a.txt").stat().st_mtime_ns))
    assert [entry.key for entry in store.list("data/a")] == ["data/a.txt", "data/a/x"]
    assert [entry.key for entry in store.list("data/")] == ["data/a.txt", "data/a/x", "data/b"]
    assert list(store.list("none/")) == []


def test_a_listing_names_a_link_to_nothing_and_a_link_to_a_folder(store: LocalStore) -> None:
    store.put_if_absent("a", b"1")
    (Path(store.url) / "broken").symlink_to("nowhere")
    (Path(store.url) / "ring").symlink_to(".")
    assert [entry.key for entry in store.list()] == ["a", "broken", "ring"]


@pytest.mark.parametrize("key", ["/etc/passwd", "../other", "data/../../other"])
def test_a_key_that_leads_out_of_the_store_is_refused(store: LocalStore, key: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"A key must be a path below its store, got {key!r}. Name it")):
        store.read(key)


def test_what_killed_attempts_left_is_cleared_and_counted(store: LocalStore) -> None:
    finished(store, b"half")
    finished(store, b"half")
    assert store.clear_attempts() == 2
    assert store.clear_attempts() == 0
    assert files(Path(store.url)) == []


def test_an_attempt_that_another_run_cleared_is_said_to_be_gone(store: LocalStore) -> None:
    path = finished(store, b"whole")
    store.clear_attempts()
    message = f"The attempt file {path} is gone: another run into the same folder cleared it. Let one run at a time"
    with pytest.raises(StoreError, match=re.escape(message)):
        store.put_if_absent("data/part.parquet", path)


def test_a_file_system_that_cannot_link_is_named_with_the_remedy(store: LocalStore, tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not os.access(other, os.W_OK) or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system, and /dev/shm is none")
    with tempfile.NamedTemporaryFile(dir=other) as file:
        message = rf"{store.url}/a cannot be published by a hard link .* Choose a dataset folder"
        with pytest.raises(StoreError, match=message):
            store.put_if_absent("a", Path(file.name))
    assert store.stat("a") is None


def test_a_folder_that_is_a_file_cannot_be_written_to(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OSError, match="out"):
        store.put_if_absent("a", b"1")


def test_a_locked_folder_keeps_others_out_until_it_is_free(store: LocalStore) -> None:
    with store.lock():
        message = rf"One process at a time may annotate into a folder, got '{store.url}', where another one is at work"
        with pytest.raises(DatasetInUseError, match=message), LocalStore(store.url).lock():
            pass
        assert store.is_there()
        store.put_if_absent("a", b"1")
    with store.lock():
        assert store.read("a") == b"1"


def test_a_folder_made_for_the_lock_goes_again_if_it_stays_empty(store: LocalStore) -> None:
    with store.lock():
        assert store.is_there()
    assert not store.is_there()


def test_an_empty_folder_of_the_users_stays(store: LocalStore) -> None:
    Path(store.url).mkdir()
    with store.lock():
        pass
    assert store.is_there()


def test_who_is_refused_leaves_the_folder_that_another_one_holds(store: LocalStore) -> None:
    Path(store.url).mkdir()
    folder = os.open(store.url, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        with pytest.raises(DatasetInUseError), store.lock():
            pass
        assert store.is_there()
    finally:
        os.close(folder)


@pytest.mark.parametrize("name", ["a#b?c.txt", "%41.txt", "[라벨] x.txt", "gs:/y.txt", "s3:/y.txt", "~t.txt"])
def test_a_path_is_a_path_whatever_it_looks_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A relative folder called `gs:` is no bucket, and no sign in a name is read as part of an address."""
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(name, encoding="utf-8")
    store, key = locate(name)
    with store.open(key) as file:
        assert file.read().decode() == name
