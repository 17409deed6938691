"""The container image as its Dockerfile promises it: read here; built and run, step by step, by `make check-image`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.image.dockerfile import ROOT, ignored, instructions

# Later milestones may add stages; these two have to stay.
BUILD, FINAL = "build", "final"


DOCKERFILE = instructions((ROOT / "Dockerfile").read_text())


def texts(name: str, stage: str | None = None) -> list[str]:
    return [i.text for i in DOCKERFILE if i.name == name and stage in (None, i.stage)]


def environment(stage: str) -> dict[str, str]:
    pairs = [pair for text in texts("ENV", stage) for pair in re.findall(r'(\w+)=("[^"]*"|\S+)', text)]
    return {name: value.strip('"') for name, value in pairs}


def built_from_context() -> list[str]:
    """Sources of every COPY that comes from the folder, not from another stage."""
    sources: list[str] = []
    for text in texts("COPY"):
        words = [word for word in text.split(" ") if not word.startswith("--")]
        if "--from=" not in text:
            sources += words[:-1]
    return sources


def test_the_base_is_named_by_a_version_tag() -> None:
    bases = {text.split(" ")[0] for text in texts("FROM")}
    assert bases == {"${PYTHON_IMAGE}"}
    (argument,) = [text for text in texts("ARG", "") if text.startswith("PYTHON_IMAGE=")]
    image, _, tag = argument.removeprefix("PYTHON_IMAGE=").partition(":")
    assert image == "python"
    assert re.fullmatch(r"3\.1[1-9](\.\d+)?-slim(-\w+)?", tag), "a tag that names a version, never latest"


def test_it_is_built_in_stages_and_the_compiler_stays_behind() -> None:
    assert [text.rpartition(" ")[2] for text in texts("FROM")] == [BUILD, FINAL]
    assert any("--from=build" in text for text in texts("COPY", FINAL))
    assert not any("pip" in text or "apt-get" in text for text in texts("RUN", FINAL))


def test_everything_installed_is_pinned_by_hash() -> None:
    installs = [command for text in texts("RUN") for command in text.split("&&") if "pip install" in command]
    assert installs
    for command in installs:
        own = "--no-index" in command and "--no-deps" in command  # this package, from the copied source
        assert own or ("--require-hashes" in command and "-r requirements/runtime.lock" in command), command


def test_it_runs_as_a_numbered_user_that_is_not_root() -> None:
    *_, last = texts("USER", FINAL)
    user, _, group = last.partition(":")
    assert int(user) == 10001
    assert int(group) == 10001


def test_a_read_only_root_file_system_is_enough() -> None:
    variables = environment(FINAL)
    assert texts("VOLUME", FINAL) == ["/var/lib/ess"]
    for name in ("HOME", "TMPDIR", "NUMBA_CACHE_DIR", "ESS_DATA_DIR"):
        assert (variables[name] + "/").startswith("/var/lib/ess/"), name
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"


def test_compiled_code_is_for_a_stated_baseline_in_both_stages() -> None:
    build, final = environment(BUILD), environment(FINAL)
    for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"):
        # Both enter the cache's key; features left unset would be the build machine's.
        assert build[name] == final[name], name
    assert final["NUMBA_CPU_NAME"] == "${CPU_BASELINE}"
    baselines = {text for stage in (BUILD, FINAL) for text in texts("ARG", stage) if text.startswith("CPU_BASELINE=")}
    assert len(baselines) == 1, "the same default in both stages"
    assert any("service.warmup" in text for text in texts("RUN", BUILD))


def test_health_stop_and_ports() -> None:
    (health,) = texts("HEALTHCHECK", FINAL)
    assert json.loads(health.partition("CMD ")[2]) == ["ess", "health"]
    assert texts("STOPSIGNAL", FINAL) == ["SIGTERM"]
    assert texts("EXPOSE", FINAL) == ["50051 8080"]
    variables = environment(FINAL)
    assert variables["ESS_GRPC_ADDRESS"].endswith(":50051")
    assert variables["ESS_HTTP_ADDRESS"].endswith(":8080")
    # The process itself is PID 1's command in exec form: a shell in between would swallow the signal.
    assert json.loads(texts("ENTRYPOINT", FINAL)[0]) == ["/opt/ess/entrypoint.sh"]
    assert json.loads(texts("CMD", FINAL)[0]) == ["ess", "serve"]


def test_nothing_is_fetched_from_an_address() -> None:
    assert texts("ADD") == []
    assert not any(re.search(r"https?://|curl|wget", i.text) for i in DOCKERFILE)


def test_labels_say_what_it_is() -> None:
    labels = " ".join(texts("LABEL", FINAL))
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f'org.opencontainers.image.version="{version.group(1)}"' in labels
    assert "org.opencontainers.image.title=" in labels


@pytest.mark.parametrize("source", built_from_context())
def test_every_copied_source_exists_and_is_in_the_build_context(source: str) -> None:
    assert (ROOT / source).exists()
    assert not ignored(source)


@pytest.mark.parametrize(
    "path", [".git/config", ".venv/bin/python", "var/service.json", "tests/conftest.py", "engine/__pycache__/x.pyc"]
)
def test_what_has_no_business_in_an_image_stays_out(path: str) -> None:
    assert ignored(path)


def test_every_setting_in_the_image_is_one_that_the_service_knows() -> None:
    from service.settings_load import load_settings

    variables = {name: value for name, value in environment(FINAL).items() if name.startswith("ESS_")}
    settings = load_settings(variables)
    assert settings.environment == "production"
    assert settings.data_dir == Path("/var/lib/ess/data")


def test_the_entrypoint_becomes_the_command() -> None:
    entrypoint = ROOT / "deploy" / "container-entrypoint.sh"
    assert os.access(entrypoint, os.X_OK)
    assert entrypoint.read_text().rstrip().endswith('exec "$@"')
