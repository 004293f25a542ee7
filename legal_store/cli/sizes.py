"""How much is to be generated, from what was typed."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from legal_store.errors import WrongUseError
from legal_store.generating.plan import MOST_FIRMS, MOST_ROWS


class Size:
    """The flags of `seed` that are numbers. None is what was not typed. Raises WrongUseError for what is none."""

    def __init__(self, scale: str | None, rows: str | None, seed: str | None, workers: str | None) -> None:
        self.firms = _whole("scale", scale, 1, MOST_FIRMS)
        self.rows = _whole("rows", rows, 1, MOST_ROWS)
        self.seed = _whole("seed", seed, 0, 10**18)
        self.workers = _whole("workers", workers, 0, 64)

    @property
    def given(self) -> bool:
        return self.firms is not None or self.rows is not None

    def refuse_for_recipe(self, name: str, add_to_production: bool) -> None:
        if not self.given:
            raise WrongUseError(f"{name} is a recipe.", remedy="Say how much: --scale FIRMS or --rows ROWS.")
        if add_to_production:
            raise WrongUseError(
                f"{name} is a recipe: invented data is never added to a production database that holds rows.",
                remedy="Leave --add-to-production out.",
            )

    def refuse_for_set(self, name: str) -> None:
        flags = {"--scale": self.firms, "--rows": self.rows, "--seed": self.seed, "--workers": self.workers}
        given = [flag for flag, value in flags.items() if value is not None]
        if given:
            verb = "does not apply" if len(given) == 1 else "do not apply"
            raise WrongUseError(
                f"{name} is a seed set with fixed rows: {' and '.join(given)} {verb}.",
                remedy="Use a recipe, such as --set synthetic, with --scale or --rows.",
            )


def _whole(flag: str, text: str | None, lowest: int, highest: int) -> int | None:
    if text is None:
        return None
    try:
        value = Decimal(text.replace("_", "").replace(",", ""))
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not lowest <= value <= highest or value != int(value):
        raise WrongUseError(
            f"--{flag} {text!r} is not a whole number from {lowest:,} to {highest:,}.",
            remedy="Write it as 250000, 250_000 or 2.5e5.",
        )
    return int(value)
