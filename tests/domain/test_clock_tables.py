"""The README's tables of fire times at clock changes are those that the code gives."""

from __future__ import annotations

from pathlib import Path

from tests.support.clock_tables import clock_change_tables

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- clock-changes:begin -->", "<!-- clock-changes:end -->"


def test_the_readme_holds_the_tables_of_the_code() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1, "the markers around the tables are missing"
    written = text.partition(BEGIN)[2].partition(END)[0]
    assert written.strip() == clock_change_tables(), "put in what `scripts/proof tables` prints"
