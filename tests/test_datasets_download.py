"""Downloads from a server that breaks off, stalls, ignores Range and sends wrong bytes; and archives."""

import errno
import gzip
import hashlib
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import h5py
import numpy as np
import pytest

from hetsyn_core.datasets import download, shd
from hetsyn_core.datasets.download import content, fetch

DATA = np.random.default_rng(0).bytes(300_000)
MD5 = f"md5:{hashlib.md5(DATA).hexdigest()}"


class Server(ThreadingHTTPServer):
    """Sends ``files``; what it does wrong, and how often, is for the test to say."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/file": DATA}
        self.cut_after = []  # bytes after which the next answers end
        self.stalls = False  # instead of ending there
        self.knows_range = True
        self.encoding = None
        self.asked = []  # the Range of every request
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/file"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers["Range"])
        body = server.files.get(self.path)
        start = 0
        if body is None:
            return self.send_error(404)
        if server.knows_range and self.headers["Range"]:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        if server.encoding:
            self.send_header("Content-Encoding", server.encoding)
        self.end_headers()
        end = start + server.cut_after.pop(0) if server.cut_after else len(body)
        self.wfile.write(body[start:end])
        if end < len(body):
            self.wfile.flush()
            if server.stalls:
                server.over.wait()
            self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_DATA", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "WAIT_S", 0)
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


def files(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_a_file_is_downloaded_once(server, tmp_path):
    path = fetch("sub/file.bin", server.url, MD5)
    assert path == tmp_path / "sub" / "file.bin" and path.read_bytes() == DATA
    assert fetch("sub/file.bin", server.url, MD5) == path
    assert server.asked == [None] and files(path.parent) == ["file.bin"]


def test_of_several_that_miss_a_file_one_fetches_it(server):
    server.cut_after = [1000]
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: fetch("file.bin", server.url, MD5), range(4)))
    assert len(set(paths)) == 1 and paths[0].read_bytes() == DATA
    assert server.asked == [None, "bytes=1000-"]


def test_a_file_that_is_there_is_left_alone(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"mine")
    assert fetch("file.bin", server.url, MD5).read_bytes() == b"mine" and server.asked == []


@pytest.mark.parametrize("stalls", [False, True])
def test_a_broken_download_goes_on_where_it_ended(server, stalls, monkeypatch):
    monkeypatch.setattr(download, "STALL_S", 0.3 if stalls else 60)
    server.cut_after, server.stalls = [2 * 65536, 65536], stalls
    assert fetch("file.bin", server.url, MD5).read_bytes() == DATA
    assert server.asked == [None, "bytes=131072-", "bytes=196608-"]


def test_it_goes_on_in_the_next_call_too(server, tmp_path):
    server.cut_after = [1000] + [0] * download.ATTEMPTS
    with pytest.raises(ConnectionError, match="put file.bin into"):
        fetch("file.bin", server.url, MD5)
    assert files(tmp_path) == [".file.bin.part"]
    server.asked.clear()
    assert fetch("file.bin", server.url, MD5).read_bytes() == DATA
    assert server.asked == ["bytes=1000-"] and files(tmp_path) == ["file.bin"]


def test_without_range_it_begins_again(server):
    server.cut_after, server.knows_range = [100_000], False
    assert fetch("file.bin", server.url, MD5).read_bytes() == DATA


def test_a_server_that_never_gets_further_is_given_up(server, tmp_path):
    server.cut_after, server.knows_range = [1000] * 50, False
    with pytest.raises(ConnectionError, match="could not be downloaded"):
        fetch("file.bin", server.url, MD5)
    assert len(server.asked) == 1 + download.ATTEMPTS and "file.bin" not in files(tmp_path)


def test_a_part_that_was_whole_is_taken(server, tmp_path):
    (tmp_path / ".file.bin.part").write_bytes(DATA)
    assert fetch("file.bin", server.url, MD5).read_bytes() == DATA


@pytest.mark.parametrize("earlier", [b"", b"other bytes", DATA + b"and more"])
def test_wrong_bytes_are_refused_and_not_kept(server, tmp_path, earlier):
    if earlier:
        (tmp_path / ".file.bin.part").write_bytes(earlier)
    else:
        server.files["/file"] = DATA[::-1]
    with pytest.raises(ValueError, match=f"something else than {MD5}.*put file.bin into") as error:
        fetch("file.bin", server.url, MD5)
    assert files(tmp_path) == [] and "\n" not in str(error.value)
    server.files["/file"] = DATA
    assert fetch("file.bin", server.url, MD5).read_bytes() == DATA


def test_a_file_that_is_not_there_is_asked_for_once(server):
    with pytest.raises(ConnectionError, match="404"):
        fetch("file.bin", server.url + "2", MD5)
    assert len(server.asked) == 1


def test_a_folder_that_cannot_be_written_to_is_said_before_the_download(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("HETSYN_DATA", str(tmp_path / "file" / "sets"))
    with pytest.raises(OSError, match="^nothing can be written to .*HETSYN_DATA") as error:
        fetch("file.bin", server.url, MD5)
    assert server.asked == [] and "\n" not in str(error.value)


def test_no_server_is_one_clear_line(server):
    with pytest.raises(ConnectionError, match="put file.bin into") as error:
        fetch("file.bin", "http://127.0.0.1:9/file", None)
    assert "\n" not in str(error.value)


def test_a_gz_file_stays_packed_whatever_the_server_calls_it(server):
    packed = gzip.compress(DATA)
    server.files["/file"], server.encoding = packed, "gzip"
    path = fetch("file.gz", server.url, f"md5:{hashlib.md5(packed).hexdigest()}")
    assert path.read_bytes() == packed and content(path, "file") == DATA


# Archives


def test_a_member_is_found_in_its_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("folder/file", DATA)
        archive.writestr("folder/other", b"")
    assert content(tmp_path / "a.zip", "file") == DATA
    with pytest.raises(ValueError, match="does not hold third"):
        content(tmp_path / "a.zip", "third")


@pytest.mark.parametrize("name", ["../file", "/file", "a/../../file", "..\\file", "C:file"])
def test_a_member_that_points_outside_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("file", DATA)
        archive.writestr(name, DATA)
    with pytest.raises(ValueError, match="points outside"):
        content(tmp_path / "a.zip", "file")


@pytest.mark.parametrize("kind", ["zip", "gz"])
def test_a_damaged_archive_is_refused(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "gz":
        path.write_bytes(gzip.compress(DATA))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("file", DATA)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], b"", b"?" * 99):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            content(path, "file")


@pytest.mark.parametrize("kind", ["zip", "gz"])
def test_an_archive_that_cannot_be_opened_is_not_called_damaged(tmp_path, monkeypatch, kind):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(b"in use")

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "in use by another program", str(path))

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    monkeypatch.setattr("zipfile.ZipFile.__init__", refuse)
    with pytest.raises(PermissionError, match="in use by another program.*a."):
        content(path, "file")


# SHD, as its owner's server would send it


@pytest.fixture
def official(server, tmp_path, monkeypatch):
    """A small file of SHD's layout behind two addresses, zip and gz."""
    with h5py.File(tmp_path / "h5", "w") as file:
        for name, kind in (("spikes/times", np.float16), ("spikes/units", np.uint16)):
            file.create_dataset(name, (2,), h5py.vlen_dtype(kind))[1] = np.array([0.25, 0.5]).astype(kind)
        file["labels"] = file["extra/speaker"] = np.array([3, 11], np.uint16)
    data = (tmp_path / "h5").read_bytes()
    with zipfile.ZipFile(tmp_path / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("shd_test.h5", data)
    (tmp_path / "gz").write_bytes(gzip.compress(data))
    urls, checksums = [], {}
    for kind in ("zip", "gz"):
        packed = (tmp_path / kind).read_bytes()
        server.files[f"/shd_test.h5.{kind}"] = packed
        urls.append(server.url.replace("file", f"shd_test.h5.{kind}"))
        checksums[urls[-1]] = f"md5:{hashlib.md5(packed).hexdigest()}"
    monkeypatch.setattr(shd, "DOWNLOADS", {"shd_test.h5": checksums})
    monkeypatch.setattr(shd, "OFFICIAL", {"shd_test.h5": hashlib.md5(data).hexdigest()})
    for name in ("h5", "zip", "gz"):
        (tmp_path / name).unlink()
    return server


def test_shd_is_downloaded_unpacked_and_known(official, tmp_path):
    official.cut_after = [100]
    found = shd.shd("test")
    assert found.source == "SHD" and found.times.tolist() == [250, 500] and found.labels.tolist() == [3, 11]
    assert official.asked == [None, "bytes=100-"]
    official.asked.clear()
    assert shd.shd("test").source == "SHD" and official.asked == []


def test_the_second_address_serves_when_the_first_does_not(official):
    official.files["/shd_test.h5.zip"] = b"something else"
    assert shd.shd("test").source == "SHD"


@pytest.mark.parametrize("kind", ["zip", "gz"])
def test_a_packed_file_that_is_there_is_unpacked(official, tmp_path, kind):
    (tmp_path / f"shd_test.h5.{kind}").write_bytes(official.files[f"/shd_test.h5.{kind}"])
    assert shd.shd("test").source == "SHD" and official.asked == []


def test_without_file_and_network_one_line_says_what_to_do(official, tmp_path):
    official.files.clear()
    with pytest.raises(ConnectionError, match="shd_test.h5 is missing.*put shd_test.h5.gz into") as error:
        shd.shd("test")
    assert "\n" not in str(error.value) and files(tmp_path) == []
