"""The settings of the log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator

from api.settings_values import absolute_or_none, lower


class LogSettings(BaseModel):
    """What is logged, how it looks and where it goes."""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower)] = "info"
    log_format: Annotated[Literal["auto", "ecs", "text"], BeforeValidator(lower)] = "auto"
    """`auto` is text at a terminal and in systemd's journal, else ECS; a file is in ECS then."""
    log_file: Annotated[Path | None, AfterValidator(absolute_or_none)] = None
    """A file for the same lines, which is rotated; `None` writes none."""
    log_executions: Annotated[Literal["all", "failures", "none"], BeforeValidator(lower)] = "all"
    """Which executions have a line: `failures` are those that failed, or were not answered as meant."""
