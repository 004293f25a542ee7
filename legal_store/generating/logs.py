"""Usage logs of skills and templates: a few people and skills make most of them, times and tokens have a long tail."""

from __future__ import annotations

from legal_store.generating.draws import DAY, Draw
from legal_store.generating.market import NULL, Firm, Market
from legal_store.generating.tables import Rows

_FAILURES = ("Depășirea timpului de răspuns.", "Documentul scanat nu are text recunoscut.", "Rate limit exceeded.")
_USE_CASES = ("client onboarding", "litigation", "contract renewal", "due diligence")


def add_logs(market: Market, firm: Firm, draw: Draw, rows: Rows, number: int) -> None:
    """Add `number` usage logs of the firm's people to `rows`."""
    for _ in range(number):
        # more and more over the years
        second = market.calendar.today * DAY - 1 - int(draw.random() ** 2 * market.recipe.history_years * 365 * DAY)
        if draw.happens("template_log_share"):
            _template_log(market, firm, draw, rows, second)
        else:
            _skill_log(market, firm, draw, rows, second)


def _skill_log(market: Market, firm: Firm, draw: Draw, rows: Rows, second: int) -> None:
    tokens = draw.tail("tokens")
    success, error, saved = "t", NULL, int(tokens * draw.random() * 0.8)
    if draw.happens("failure_share"):
        success, error, saved = "f", draw.one_of(_FAILURES), 0
    rows["skill_usage_logs"].append(
        f"{draw.id(second)}\t{draw.early_one_of(market.catalogue.skills)}\t{draw.early_one_of(firm.people).id}\t"
        f"{draw.early_one_of(firm.workspaces)}\t{draw.tail('execution_time')}\t{tokens}\t{saved}\t"
        f'{tokens * 0.000006:.6f}\t{success}\t{error}\t{{"pages": {draw.between(1, 40)}}}\t'
        f'{{"items": {draw.between(0, 60)}}}\t{{}}\t{market.calendar.moment(second)}'
    )


def _template_log(market: Market, firm: Firm, draw: Draw, rows: Rows, second: int) -> None:
    score = str(5 - int(draw.random() ** 2 * 5)) if draw.random() < 0.6 else NULL
    rows["template_usage_logs"].append(
        f"{draw.id(second)}\t{draw.early_one_of(market.catalogue.templates)}\t{draw.early_one_of(firm.people).id}\t"
        f"{draw.tail('execution_time') // 4}\t{draw.between(0, 25)}\t{int(draw.random() ** 3 * 20)}\t{score}\t"
        f"{draw.between(5, 120)}\t{draw.one_of(_USE_CASES)}\t{{}}\t{market.calendar.moment(second)}"
    )
