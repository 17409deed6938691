"""Decisions for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from service.client import Answer

# (heading, justification, shown only on a wide terminal), in the order of decision_row.
COLUMNS: tuple[tuple[str, Literal["left", "right"], bool], ...] = (
    ("order", "left", False),
    ("instrument", "left", False),
    ("side", "left", True),
    ("quantity", "right", False),
    ("% ADV", "right", True),
    ("objective / urgency", "left", True),
    ("strategy", "left", False),
    ("min", "right", False),
    ("part.", "right", True),
    ("cost bps", "right", False),
    ("± sd", "right", True),
    ("compl.", "right", True),
    ("conf.", "right", False),
    ("next best (+ΔU bps)", "left", True),
)
WIDE_COLUMNS = 150


def decisions_table(answers: Sequence[Answer], width: int) -> Table:
    """One line an order; a narrow terminal gets the columns that matter most."""
    shown = [index for index, (_, _, wide) in enumerate(COLUMNS) if width >= WIDE_COLUMNS or not wide]
    table = Table(title=f"{len(answers)} decision{'s' if len(answers) != 1 else ''}", header_style="bold")
    for index in shown:
        heading, justify, _ = COLUMNS[index]
        table.add_column(heading, justify=justify, overflow="fold")
    for answer in answers:
        style = "red" if answer.response is None else None
        row = decision_row(answer)
        # Text: what a request says is no markup.
        table.add_row(*(Text(row[index], style=style or "") for index in shown))
    return table


def decision_row(answer: Answer) -> list[str]:
    asked: dict[str, Any] = answer.request
    head = [str(asked.get("order_id", "")), str(asked.get("instrument_id", "")), str(asked.get("side", ""))]
    aim = f"{asked.get('objective', '')} / {asked.get('urgency', '')}"
    if answer.response is None:
        return [*head, str(asked.get("quantity", "")), "", aim, answer.code, *[""] * 6, answer.message]
    response: dict[str, Any] = answer.response
    strategy, outcomes = response["recommended_strategy"], response["expected_outcomes"]
    size = float(asked["quantity"]) / response["resolved_inputs"]["average_daily_volume"]
    alternatives = response.get("alternative_strategies", [])
    following = "-"
    if alternatives:
        following = f"{alternatives[0]['strategy_name']} +{alternatives[0]['utility_difference_bps']:.2f}"
    return [
        *head, f"{float(asked['quantity']):,.0f}", f"{size:.2%}", aim, strategy["strategy_name"],
        f"{strategy['time_allocation']['horizon_minutes']:.0f}", f"{strategy['parameters']['participation_rate']:.1%}",
        f"{outcomes['estimated_cost'] * 1e4:.1f}", f"{outcomes['cost_standard_deviation'] * 1e4:.0f}",
        f"{outcomes['completion_probability']:.0%}", f"{response['confidence']:.0%}", following,
    ]


def print_answer(console: Console, answer: Answer) -> None:
    """One order in full: why, what else, what would change it."""
    title = Text(f"{answer.request.get('order_id', '')}  {answer.request.get('instrument_id', '')}")
    if answer.response is None:
        lines = [f"[red]{answer.code}[/red] {escape(answer.message)}"]
        lines += [escape(f"  {field or '(message)'}: {text}") for field, text in answer.violations]
        console.print(Panel("\n".join(lines), title=title, title_align="left"))
        return
    response: dict[str, Any] = answer.response
    strategy = response["recommended_strategy"]
    venues = ", ".join(f"{mic} {share:.1%}" for mic, share in sorted(
        strategy["venue_allocation"].items(), key=lambda item: -item[1]))
    lines = [escape(response["strategy_rationale"]), "", f"[bold]Venues[/bold] {venues}"]
    for other in response.get("alternative_strategies", [])[:3]:
        lines.append(
            f"[bold]Else[/bold] {other['strategy_name']}: +{other['utility_difference_bps']:.2f} bps utility, "
            f"{other['cost_difference_bps']:+.2f} bps cost ({other['reason']})"
        )
    console.print(Panel("\n".join(lines), title=title, title_align="left"))


VERDICTS = {
    "IDENTICAL": "[green]identical[/green]: the decision was made again, byte for byte",
    "DIFFERENT": "[red]DIFFERENT[/red]: the same engine build makes another decision of this record",
    "ENGINE_CHANGED": "[yellow]engine changed[/yellow]: another build or processor than the one that decided",
}
# Differences of the builds themselves are told beside those of the decision.
BUILD_PREFIX = "engine_build"


def is_same_decision(response: dict[str, Any]) -> bool:
    """Whether every field came out as recorded, whatever build made it."""
    return all(str(row.get("field", "")).startswith(BUILD_PREFIX) for row in response.get("differences", []))


def print_replay(console: Console, selection_id: str, response: dict[str, Any]) -> None:
    """The verdict, and what differs."""
    recorded = response.get("recorded", {})
    if "recorded_advice" in response:
        advice = response["recorded_advice"]
        recorded = {"order_id": advice.get("order_id"), **advice.get("response", {})}
    console.print(f"{escape(selection_id)}  order {escape(str(recorded.get('order_id', '?')))}  "
                  f"made {escape(str(recorded.get('created_at', '?')))}")
    console.print(VERDICTS.get(response["verdict"], escape(str(response["verdict"]))))
    differences = response.get("differences", [])
    if differences and is_same_decision(response):
        console.print("What was decided is the same, byte for byte.")
    if differences:
        table = Table(header_style="bold")
        for name in ("field", "recorded", "replayed"):  # folded, not cut: a path that is cut names no field
            table.add_column(name, overflow="fold")
        for row in differences:
            table.add_row(*(Text(str(row.get(name, ""))) for name in ("field", "recorded", "replayed")))
        console.print(table)
