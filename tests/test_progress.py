"""Progress without a terminal is lines."""

import io

from hetsyn_core import progress


def test_a_log_gets_lines_with_the_time_left_and_no_carriage_return(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    for _ in progress.bar(range(3), desc="Fig. 2", unit="runs"):
        pass
    written = capsys.readouterr().err
    assert "\r" not in written
    first, *_, last = written.splitlines()
    assert first.startswith("Fig. 2: 0 of 3 runs, ") and last.startswith("Fig. 2: 3 of 3 runs, ")
    assert all(line.endswith(" left") for line in written.splitlines())


def test_a_log_is_not_flooded(capsys):
    for _ in progress.bar(range(10_000)):
        pass
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("0 of 10000 it, ") and last.startswith("10000 of 10000 it, ")


def test_two_bars_at_once_and_a_bar_that_is_off(capsys):
    with progress.bar(total=1, desc="outer"), progress.bar(total=1, desc="inner"), progress.bar(disable=True):
        pass
    written = capsys.readouterr().err
    assert "\x1b" not in written
    assert [line.split(":")[0] for line in written.splitlines()] == ["outer", "inner", "inner", "outer"]


def test_on_a_terminal_the_bar_moves(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    for _ in progress.bar(range(2), desc="Fig. 2"):
        pass
    assert "\rFig. 2" in terminal.getvalue() and "2/2" in terminal.getvalue()
