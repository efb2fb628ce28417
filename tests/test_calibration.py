"""How o200k counts become a model's tokens, and how the ratios are learnt from reports."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.core.errors import ConfigError
from ctxbudget.counting.calibration import Calibration
from ctxbudget.counting.content_class import ContentClass
from ctxbudget.providers.models import ModelFamily, bare_name, family_of, window_tokens

PROSE, CODE = ContentClass.PROSE, ContentClass.CODE
STRUCTURED, OTHER_SCRIPT = ContentClass.STRUCTURED, ContentClass.OTHER_SCRIPT
OPUS = "claude-opus-5-5"
TRUTH = {PROSE: 1.45, CODE: 1.3, STRUCTURED: 1.2, OTHER_SCRIPT: 1.7, ContentClass.OPAQUE: 1.1}

# Names


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("claude-3-5-haiku-20241022", ModelFamily.CLAUDE_TO_4_6),
        ("claude-opus-4-20250514", ModelFamily.CLAUDE_TO_4_6),
        ("claude-sonnet-4@20250514", ModelFamily.CLAUDE_TO_4_6),
        ("anthropic/claude-sonnet-4-5-20250929", ModelFamily.CLAUDE_TO_4_6),
        ("us.anthropic.claude-opus-4-6-v1:0", ModelFamily.CLAUDE_TO_4_6),
        ("claude-haiku-4-5", ModelFamily.CLAUDE_TO_4_6),
        ("claude-2.1", ModelFamily.CLAUDE_TO_4_6),
        ("claude-instant-v1", ModelFamily.CLAUDE_TO_4_6),
        ("claude-opus-4-7", ModelFamily.CLAUDE_FROM_4_7),
        ("claude-opus-4-7[1m]", ModelFamily.CLAUDE_FROM_4_7),
        ("claude-opus-4.8", ModelFamily.CLAUDE_FROM_4_7),
        ("claude-opus-5-5", ModelFamily.CLAUDE_FROM_4_7),
        ("global.anthropic.claude-sonnet-5-20260601-v1:0", ModelFamily.CLAUDE_FROM_4_7),
        ("claude-mythos-preview", ModelFamily.CLAUDE_FROM_4_7),
        ("Claude-Opus-12", ModelFamily.CLAUDE_FROM_4_7),
        ("sonnet", ModelFamily.CLAUDE_FROM_4_7),
        ("gpt-4o-2024-08-06", ModelFamily.O200K),
        ("openai/gpt-5.1", ModelFamily.O200K),
        ("o3-mini", ModelFamily.O200K),
        ("gpt-4-turbo", ModelFamily.OTHER),
        ("gemini-3-pro", ModelFamily.OTHER),
        ("octopus", ModelFamily.OTHER),
        ("<synthetic>", ModelFamily.OTHER),
        ("", ModelFamily.OTHER),
    ],
)
def test_family_of_a_name(model: str, family: ModelFamily) -> None:
    assert family_of(model) is family


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("claude-opus-4-7[1m]", "claude-opus-4-7"),
        ("openrouter/anthropic/claude-sonnet-4.5", "claude-sonnet-4.5"),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"),
        ("anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        ("claude-haiku-4-5@20251001", "claude-haiku-4-5-20251001"),
        ("claude-v2", "claude-v2"),
        (" GPT-5 ", "gpt-5"),
    ],
)
def test_name_as_the_maker_writes_it(model: str, name: str) -> None:
    assert bare_name(model) == name


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-opus-5-5", 1_000_000),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 200_000),
        ("claude-sonnet-4-5[1m]", 1_000_000),
        ("nobody-knows", None),
    ],
)
def test_window_of_a_name(model: str, tokens: int | None) -> None:
    assert window_tokens(model) == tokens


# Before any report


@pytest.mark.parametrize(
    ("model", "content", "counted", "tokens"),
    [
        ("claude-sonnet-4-6", PROSE, 15, 18),  # × 1.2, exactly
        ("claude-opus-5-5", CODE, 7, 11),  # × 1.5 = 10.5
        ("claude-opus-5-5", OTHER_SCRIPT, 10, 20),  # × 2
        ("claude-sonnet-4-6", OTHER_SCRIPT, 10, 20),
        ("claude-opus-5-5", ContentClass.OPAQUE, 10, 12),
        ("gpt-5", PROSE, 123, 123),
        ("gpt-5", OTHER_SCRIPT, 123, 123),
        ("unheard-of", STRUCTURED, 123, 123),
        ("claude-opus-5-5", PROSE, 1, 2),
        ("claude-opus-5-5", PROSE, 0, 0),
    ],
)
def test_prior(model: str, content: ContentClass, counted: int, tokens: int) -> None:
    assert Calibration.for_model(model).tokens(counted, content) == tokens


@pytest.mark.parametrize(
    ("model", "error_frac"),
    [("claude-haiku-4-5", 0.15), (OPUS, 0.15), ("o3", 0.03), ("unheard-of", 0.25)],
)
def test_prior_error(model: str, error_frac: float) -> None:
    assert Calibration.for_model(model).error_frac == pytest.approx(error_frac)


# One report


def test_one_large_report_goes_half_way() -> None:
    found = Calibration.for_model(OPUS)
    found.learn({PROSE: 1_000_000}, 1_350_000)  # 1.35; the prior is 1.5
    assert found.ratio(PROSE) == pytest.approx(1.425, abs=1e-4)
    assert found.ratio(CODE) == 1.5
    assert found.reports == 1


def test_the_second_report_weighs_less() -> None:
    found = Calibration.for_model("unheard-of")
    for _ in range(2):
        found.learn({CODE: 10**9}, 9 * 10**8)
    # After one report 0.95, and half the uncertainty: 0.98 × 0.5 + 0.02 = 0.51. So the second
    # goes 0.51 / 1.51 of the way from there to 0.9.
    assert found.ratio(CODE) == pytest.approx(0.95 - 0.05 * 0.51 / 1.51)


def test_a_report_the_size_of_the_frames_goes_a_third_of_the_way() -> None:
    found = Calibration.for_model("unheard-of")
    found.learn({CODE: 100}, 115)  # certainty 1 against 1 + 100/100
    assert found.ratio(CODE) == pytest.approx(1.05)


def test_a_mixture_shares_what_it_teaches() -> None:
    found = Calibration.for_model(OPUS)
    found.learn({PROSE: 1_000_000, CODE: 1_000_000}, 2_700_000)  # 10 % less than expected
    assert found.ratio(PROSE) == pytest.approx(found.ratio(CODE))
    # Leverage of each is a half, so the gain is 0.5 / (0.25 + 0.25 + 1).
    assert found.ratio(PROSE) == pytest.approx(1.5 * (1 - 0.1 / 3), abs=1e-4)


def test_error_after_one_report_worked_by_hand() -> None:
    found = Calibration.for_model(OPUS)
    found.learn({PROSE: 100_000}, 150_000)  # no error at all
    # Four prior errors of 0.075, faded to 0.9, over 4 × 0.9 + 1 reports.
    expected = 2 * math.sqrt(4 * 0.9 * 0.075**2 / 4.6)
    assert found.error_frac == pytest.approx(expected)


@pytest.mark.parametrize(
    ("predicted", "reported"),
    [({}, 500), ({PROSE: 10}, 500), ({PROSE: 500}, 0), ({PROSE: 500}, -3), ({PROSE: -500}, 500)],
)
def test_what_teaches_nothing_is_passed_over(
    predicted: Mapping[ContentClass, int], reported: int
) -> None:
    found = Calibration.for_model(OPUS)
    before = found.as_data()
    found.learn(predicted, reported)
    assert found.as_data() == before


def test_an_outlier_moves_little() -> None:
    found = Calibration.for_model(OPUS)
    teach(found, TRUTH, reports=40, seed=1)
    before = {kind: found.ratio(kind) for kind in TRUTH}
    error_frac = found.error_frac
    found.learn({PROSE: 5_000, CODE: 5_000}, 200_000)  # an image nobody counted, say
    assert not found.drift
    for kind, ratio in before.items():
        assert found.ratio(kind) == pytest.approx(ratio, rel=0.05)
    assert found.error_frac < 1.6 * error_frac


# Many reports


def teach(
    found: Calibration,
    truth: Mapping[ContentClass, float],
    *,
    reports: int,
    seed: int,
    noise_frac: float = 0.0,
) -> list[bool]:
    """Report gains made after `truth`; return for each if the error was within the bound."""
    chance = random.Random(seed)  # noqa: S311 - made-up reports
    covered = []
    for _ in range(reports):
        kinds = chance.sample(list(truth), chance.choice([1, 2, 3]))
        gain = {kind: 100 + int(chance.expovariate(1 / 600)) for kind in kinds}
        real = sum(truth[kind] * tokens for kind, tokens in gain.items())
        reported = round(real * (1 + chance.gauss(0, noise_frac)))
        estimate = sum(found.tokens(tokens, kind) for kind, tokens in gain.items())
        covered.append(abs(reported - estimate) <= found.error_frac * estimate)
        found.learn(gain, reported)
    return covered


@pytest.mark.parametrize("noise_frac", [0.0, 0.03])
def test_ratios_are_learnt(noise_frac: float) -> None:
    for seed in range(20):
        found = Calibration.for_model(OPUS)
        teach(found, TRUTH, reports=60, seed=seed, noise_frac=noise_frac)
        for kind, ratio in TRUTH.items():
            assert found.ratio(kind) == pytest.approx(ratio, rel=0.04 + noise_frac), kind


def test_a_single_kind_is_learnt_in_a_dozen_reports() -> None:
    found = Calibration.for_model("claude-sonnet-4-6")
    for _ in range(12):
        found.learn({CODE: 4_000}, 4_400)
    assert found.ratio(CODE) == pytest.approx(1.1, rel=0.02)
    assert found.ratio(PROSE) == 1.2


@pytest.mark.parametrize("model", [OPUS, "gpt-5", "unheard-of"])
@pytest.mark.parametrize("noise_frac", [0.01, 0.05, 0.1])
def test_the_bound_covers_later_errors(model: str, noise_frac: float) -> None:
    base = Calibration.for_model(model)
    truth = {kind: 0.95 * base.ratio(kind) for kind in TRUTH}
    covered = []
    for seed in range(20):
        found = Calibration.for_model(model)
        covered += teach(found, truth, reports=80, seed=seed, noise_frac=noise_frac)[20:]
        assert found.error_frac < 0.03 + 3 * noise_frac
    assert sum(covered) / len(covered) >= 0.9


def test_the_bound_falls_with_evidence() -> None:
    found = Calibration.for_model(OPUS)
    seen = [found.error_frac]
    for _ in range(5):
        teach(found, TRUTH, reports=20, seed=3)
        seen.append(found.error_frac)
    assert seen[-1] < 0.03
    assert seen[2:] == sorted(seen[2:], reverse=True)


def test_the_bound_never_promises_everything() -> None:
    found = Calibration.for_model(OPUS)
    for _ in range(200):
        found.learn({PROSE: 10_000}, 15_000)
    assert found.error_frac == 0.005


def test_a_switch_of_truth_is_told_and_learnt() -> None:
    found = Calibration.for_model(OPUS)
    for _ in range(40):
        found.learn({PROSE: 2_000, CODE: 1_000}, 4_500)
    calm = found.error_frac
    told = []
    for _ in range(15):
        found.learn({PROSE: 2_000, CODE: 1_000}, 3_300)  # 1.5 became 1.1
        told.append(found.drift)
    assert told[:3] == [False, False, True]  # the third miss in a row
    assert not told[-1]
    assert found.tokens(2_000, PROSE) + found.tokens(1_000, CODE) == pytest.approx(3_300, rel=0.03)
    assert found.error_frac > calm


def test_the_bound_rises_on_drift() -> None:
    found = Calibration.for_model(OPUS)
    for _ in range(40):
        found.learn({PROSE: 2_000}, 3_000)
    assert found.error_frac < 0.03
    for _ in range(3):
        found.learn({PROSE: 2_000}, 2_200)
    assert found.drift
    assert found.error_frac >= 0.15


def test_two_misses_are_no_drift() -> None:
    found = Calibration.for_model(OPUS)
    for reported in (3_000, 9_000, 9_000, 3_000, 9_000, 9_000):
        found.learn({PROSE: 2_000}, reported)
        assert not found.drift


# Exact counts


def test_exact_counts_pass_unchanged() -> None:
    found = Calibration.for_model(OPUS, exact=True)
    for _ in range(5):
        found.learn({PROSE: 1_000}, 1_010)
    assert [found.tokens(tokens, OTHER_SCRIPT) for tokens in (0, 1, 777)] == [0, 1, 777]
    assert found.error_frac == 0
    assert not found.drift


def test_exact_counts_that_are_not_exact_are_told() -> None:
    found = Calibration.for_model(OPUS, exact=True)
    for _ in range(3):
        found.learn({PROSE: 1_000}, 1_050)
    assert found.drift
    assert found.tokens(100, PROSE) == 100


# Invariants and state

GAINS = st.dictionaries(st.sampled_from(list(ContentClass)), st.integers(0, 10**6))
REPORTS = st.lists(st.tuples(GAINS, st.integers(-100, 10**7)), max_size=20)


@given(st.sampled_from([OPUS, "claude-haiku-4-5", "gpt-5", "unheard-of"]), REPORTS)
def test_no_report_breaks_it(
    model: str, reports: list[tuple[dict[ContentClass, int], int]]
) -> None:
    prior, found = Calibration.for_model(model), Calibration.for_model(model)
    for predicted, reported in reports:
        found.learn(predicted, reported)
        assert math.isfinite(found.error_frac)
        assert found.error_frac > 0
        for kind in ContentClass:
            assert 0.5 <= found.ratio(kind) / prior.ratio(kind) <= 2.0
            assert found.tokens(1, kind) >= 1
            assert found.tokens(0, kind) == 0
            assert found.tokens(100, kind) <= found.tokens(101, kind)


def test_a_resumed_calibration_goes_on_the_same() -> None:
    straight = Calibration.for_model(OPUS)
    teach(straight, TRUTH, reports=10, seed=5, noise_frac=0.05)
    resumed = Calibration.from_data(json.loads(json.dumps(straight.as_data())))
    assert resumed == straight
    for each in (straight, resumed):
        teach(each, TRUTH, reports=10, seed=6, noise_frac=0.05)
    assert resumed == straight


def test_what_is_saved_is_not_shared() -> None:
    found = Calibration.for_model(OPUS)
    before = json.dumps(found.as_data())
    resumed = Calibration.from_data(found.as_data())
    resumed.learn({PROSE: 1_000}, 1_400)
    assert json.dumps(found.as_data()) == before


def test_a_kind_that_the_data_does_not_know_starts_from_its_prior() -> None:
    found = Calibration.for_model(OPUS)
    teach(found, TRUTH, reports=10, seed=1)
    data = json.loads(json.dumps(found.as_data()))
    del data["multipliers"]["opaque"], data["covariance"]["opaque"]
    for row in data["covariance"].values():
        del row["opaque"]
    resumed = Calibration.from_data(data)
    assert resumed.ratio(ContentClass.OPAQUE) == 1.2
    assert resumed.ratio(CODE) == found.ratio(CODE)


@pytest.mark.parametrize(
    "damage",
    [
        {"multipliers": None},
        {"multipliers": {"prose": "much"}},
        {"covariance": {"prose": 1}},
        {"weight": 0},
        {"weight": float("nan")},
        {"squared_error_sum": float("inf")},
        {"squared_error_sum": -1.0},
        {"reports": None},
    ],
)
def test_damaged_data_is_refused(damage: dict[str, object]) -> None:
    data = Calibration.for_model(OPUS).as_data() | damage
    with pytest.raises(ConfigError, match="no saved calibration"):
        Calibration.from_data(data)


def test_missing_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="model"):
        Calibration.from_data({"weight": 1, "multipliers": {}, "covariance": {}})
