"""`configure` sets OpenTelemetry up once, and only when it is called."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.observability.recorder import Spans
from tests.observability.test_setup import in_a_fresh_process
from tta_llm import observability
from tta_llm.errors import MissingExtraError
from tta_llm.observability import configure

PREPARED = """
import os
os.environ["TTA_RUNS"] = "off"
from tta_llm import step
from tta_llm.observability import configure

def work():
    return (step(str.strip, name="clean") >> step(str.upper, name="loud")).run(" x ")
"""


def test_prometheus_reads_the_metrics_at_the_port_with_the_labels_of_the_specification() -> None:
    told = in_a_fresh_process(
        PREPARED
        + """
import urllib.request
with configure(prometheus=0) as configured:
    work()
    address = f"http://localhost:{configured.prometheus_port}/metrics"
    print(urllib.request.urlopen(address, timeout=10).read().decode())
"""
    )
    assert 'sequential_step_duration_seconds_count{step="clean"} 1.0' in told
    assert "sequential_total_duration_seconds_count 1.0" in told


def test_a_number_is_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    told = in_a_fresh_process(
        PREPARED + f"with configure(prometheus={port}) as told: print(told.prometheus_port)"
    )
    assert told.strip() == str(port)


def test_true_takes_the_port_of_the_standard_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    told = in_a_fresh_process(
        PREPARED
        + f"""
os.environ["OTEL_EXPORTER_PROMETHEUS_PORT"] = "{port}"
with configure(prometheus=True) as told:
    print(told.prometheus_port)
"""
    )
    assert told.strip() == str(port)


def test_a_taken_port_is_an_error_and_sets_up_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        in_a_fresh_process(
            PREPARED
            + f"""
import threading
from tta_llm.observability import configured
try:
    configure(prometheus={taken.getsockname()[1]}, otlp="http://127.0.0.1:9", console=True)
except OSError:
    pass
else:
    raise AssertionError("no error")
assert not configured()
assert threading.active_count() == 1
"""
        )


def test_the_console_shows_spans_on_the_standard_error_output() -> None:
    told = in_a_fresh_process(
        PREPARED
        + """
import contextlib, io, sys
out, err = io.StringIO(), io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    with configure(console=True, service_name="answers"):
        work()
assert not out.getvalue()
print(err.getvalue())
"""
    )
    assert '"name": "loud"' in told
    assert '"service.name": "answers"' in told


def test_local_runs_are_recorded_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "runs.sqlite3"
    told = in_a_fresh_process(
        PREPARED
        + f"""
from tta_llm.observability.runs import RunStore
with configure(local={str(file)!r}):
    work()
print(RunStore({str(file)!r}).find("last").workflow)
"""
    )
    assert told.strip() == "SequentialPrimitive"


def test_the_variable_turns_the_account_s_runs_off(tmp_path: Path) -> None:
    told = in_a_fresh_process(PREPARED + "with configure(local=True): print(work())")
    assert told.strip() == "X"


def test_what_is_left_is_written_when_the_process_ends(tmp_path: Path) -> None:
    file = tmp_path / "runs.sqlite3"
    in_a_fresh_process(PREPARED + f"configure(local={str(file)!r}); work()")
    told = in_a_fresh_process(
        f"""
        from tta_llm.observability.runs import RunStore
        print(RunStore({str(file)!r}).find("last").state)
        """
    )
    assert told.strip() == "done"


def test_closing_ends_all_its_threads_and_frees_the_port(tmp_path: Path) -> None:
    in_a_fresh_process(
        PREPARED
        + f"""
import socket, threading
configured = configure(prometheus=0, local={str(tmp_path / "runs.sqlite3")!r})
work()
configured.close()
configured.close()
assert threading.active_count() == 1, threading.enumerate()
with socket.create_server(("127.0.0.1", configured.prometheus_port)):
    pass
"""
    )


def test_a_second_time_is_refused_with_what_to_do_instead() -> None:
    told = in_a_fresh_process(
        PREPARED
        + """
for closes in (False, True):
    try:
        told = configure(console=True)
        told.close()
    except RuntimeError as error:
        print(error)
"""
    )
    assert "set up already" in told
    assert "docs/guides/monitoring.md" in told


def test_the_applications_own_set_up_is_never_replaced(spans: Spans) -> None:
    with pytest.raises(RuntimeError, match="add the exporter to the provider that is there"):
        configure(console=True)


def test_listening_to_the_log_is_no_set_up() -> None:
    told = in_a_fresh_process(
        PREPARED
        + """
import logging
logging.basicConfig(level=logging.INFO)
assert work() == "X"
with configure(console=True):
    print(work())
"""
    )
    assert told.strip() == "X"


def test_nothing_to_set_up_is_an_error() -> None:
    with pytest.raises(ValueError, match="give otlp=, prometheus=, console= or local="):
        configure()


@pytest.mark.parametrize(
    ("argument", "extra", "module"),
    [
        ({"otlp": "http://localhost:4318"}, "otlp", "opentelemetry.exporter.otlp.proto.http"),
        ({"prometheus": 0}, "prometheus", "prometheus_client"),
    ],
)
def test_without_its_extra_the_error_says_what_to_install(
    argument: dict[str, Any], extra: str, module: str
) -> None:
    told = in_a_fresh_process(
        f"""
        import sys

        class Absent:
            def find_spec(self, name, *_):
                if name.startswith({module!r}):
                    raise ModuleNotFoundError(f"No module named {{name!r}}")

        sys.meta_path.insert(0, Absent())
        from tta_llm.errors import MissingExtraError
        from tta_llm.observability import configure, configured
        try:
            configure(**{argument!r})
        except MissingExtraError as error:
            print(error)
        assert not configured()
        """
    )
    assert f'pip install "tta-llm[{extra}]"' in told
    assert MissingExtraError("x", extra).extra == extra


def test_the_redaction_is_set_with_it() -> None:
    told = in_a_fresh_process(
        PREPARED
        + """
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
import contextlib, io
from tta_llm.testing import FakeChatModel
err = io.StringIO()
with contextlib.redirect_stderr(err):
    with configure(console=True, redaction=lambda text: text.replace("private", "###")):
        FakeChatModel("private").run("private")
print(err.getvalue())
"""
    )
    assert "###" in told
    assert "private" not in told


def test_importing_it_sets_up_nothing_and_leaves_the_sdk_out() -> None:
    in_a_fresh_process("""
        import sys
        import tta_llm
        import tta_llm.observability
        assert "opentelemetry.sdk.trace" not in sys.modules
        assert "opentelemetry.sdk.metrics" not in sys.modules
        tta_llm.observability.configure
        from tta_llm.observability import configured
        assert not configured()
        """)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'confgure'"):
        observability.confgure  # noqa: B018


def test_a_redaction_that_is_none_sets_up_nothing() -> None:
    in_a_fresh_process("""
from tta_llm.observability import configure, configured
try:
    configure(console=True, redaction="secret")
except TypeError:
    pass
else:
    raise AssertionError("no error")
assert not configured()
configure(console=True).close()
""")


def test_closing_twice_does_no_more_than_closing_once() -> None:
    in_a_fresh_process(
        PREPARED
        + """
configured = configure(console=True)
configured.close()
configured.close()
assert work() == "X"
"""
    )
