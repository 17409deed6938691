"""What the README says of the configuration is what the settings are, and its examples are sound."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from service.mapping.contract_json import from_object
from service.mapping.contract_messages import RECOMMEND
from service.mapping.validation import rule_faults
from service.settings_table import configuration_table

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def example(language: str) -> str:
    """The block under `<!-- example: language -->`."""
    found = re.search(rf"<!-- example: {language} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found is not None, language
    return found.group(1)


def test_the_configuration_table_is_the_settings_own() -> None:
    found = re.search(r"<!-- configuration -->\n(.*?)\n<!-- /configuration -->", README, re.DOTALL)
    assert found is not None
    assert found.group(1).strip() == configuration_table().strip(), "run: python tests/contract/test_readme.py"


def test_the_json_example_breaks_no_rule() -> None:
    message = RECOMMEND.request()
    assert from_object(json.loads(example("json")), message) == []
    assert rule_faults(message) == []


def test_the_python_examples_are_python() -> None:
    """tests/e2e/test_python_client.py runs them."""
    for name in ("python", "client"):
        ast.parse(example(name))


def test_every_path_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def write_configuration() -> None:
    """Puts the settings' table into the README."""
    text = re.sub(
        r"(<!-- configuration -->\n).*?(<!-- /configuration -->)",
        lambda match: f"{match.group(1)}{configuration_table().strip()}\n{match.group(2)}",
        README,
        flags=re.DOTALL,
    )
    (ROOT / "README.md").write_text(text)


if __name__ == "__main__":
    write_configuration()
