"""The claims that can be chosen; runs on any system."""

import pytest

from pipectl.core.checks.claims import CLAIMS, chosen, described


def test_no_choice_is_all_claims() -> None:
    assert chosen() == list(CLAIMS)


def test_a_choice_keeps_the_order_of_the_table() -> None:
    assert [claim.id for claim in chosen(["W12", "W02"])] == ["W02", "W12"]


def test_a_claim_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="W99"):
        chosen(["W02", "W99"])


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_is_a_sentence_and_so_is_how_it_is_asked(claim: object) -> None:
    record = described(claim)  # type: ignore[arg-type]
    assert record["claim"].endswith(".")
    assert record["how"].endswith(".")
    assert record["expected"]
