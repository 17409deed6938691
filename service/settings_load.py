"""Settings out of ESS_* variables.

Every unknown variable and every bad value is reported in one `SettingsError`, so that nobody repairs a configuration
one line a restart.

    SettingsError    one or more variables are unknown or bad
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from service.settings import Settings
from service.settings_types import PREFIX, variable_of
from service.urls import masked_url


@dataclass(frozen=True, slots=True)
class SettingsFault:
    """One thing that is wrong. `value` is what was given, with secrets already masked."""

    variable: str
    value: str
    fault: str

    def __str__(self) -> str:
        return f"{self.variable}={self.value!r}: {self.fault}"


class SettingsError(ValueError):
    """The configuration can't be used; `faults` names everything that is wrong with it."""

    def __init__(self, faults: tuple[SettingsFault, ...]) -> None:
        self.faults = faults
        lines = "\n".join(f"  {fault}" for fault in faults)
        super().__init__(f"{len(faults)} bad setting{'s' if len(faults) != 1 else ''}:\n{lines}")


def load_settings(environ: Mapping[str, str]) -> Settings:
    """The settings that `environ` asks for, or one SettingsError with everything that is wrong."""
    given = {name: value for name, value in environ.items() if name.upper().startswith(PREFIX)}
    known = {name: value for name, value in given.items() if _field_name(name) in Settings.model_fields}
    faults = [_unknown(name, value) for name, value in given.items() if name not in known]
    settings = None
    try:
        settings = Settings.model_validate({_field_name(name): value for name, value in known.items()})
    except ValidationError as error:
        details = error.errors(include_url=False)
        faults.extend(_fault(detail["loc"], detail["msg"], known) for detail in details)
    if settings is None or faults:
        raise SettingsError(tuple(sorted(faults, key=lambda fault: fault.variable)))
    return settings


def _field_name(variable: str) -> str:
    # Only upper case is ours: ess_workers would be a typing error, and is reported as one.
    return variable.removeprefix(PREFIX).lower() if variable.isupper() else variable


def _unknown(variable: str, value: str) -> SettingsFault:
    # A mistyped ESS_DATABASE_URl may carry a password as well, so an unknown variable's value isn't shown.
    known = [variable_of(name) for name in Settings.model_fields]
    near = difflib.get_close_matches(variable.upper(), known, n=1, cutoff=0.75)
    hint = f"; did you mean {near[0]}?" if near else ""
    return SettingsFault(variable, "***" if value else "", f"unknown variable{hint}")


def _fault(location: tuple[int | str, ...], message: str, given: Mapping[str, str]) -> SettingsFault:
    field_name = str(location[0]) if location else ""
    variable = variable_of(field_name)
    value = given.get(variable, "")
    shown = masked_url(value) if _is_secret(Settings.model_fields[field_name]) else value
    return SettingsFault(variable, shown, message.removeprefix("Value error, "))


def _is_secret(info: FieldInfo) -> bool:
    return info.annotation is SecretStr
