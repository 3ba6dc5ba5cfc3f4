"""The workload keeps to its published proportions."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scheduling import networks, prompts, workload
from rise_scheduler.prompt import prompt_features


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return prompts.draw(np.random.default_rng(0), 5000)


def test_prompts_are_as_long_as_those_of_diffusiondb(texts: list[str]) -> None:
    words = np.array([len(text.split()) for text in texts])
    assert words.mean() == pytest.approx(25.8, abs=0.7)
    assert words.std() == pytest.approx(13.6, abs=0.7)
    found = np.percentile(words, [5, 25, 50, 75, 90, 95, 99])
    assert found == pytest.approx([5, 14, 26, 36, 44, 47, 53], abs=1.5)


def test_prompts_have_as_many_phrases_and_repeats_as_those_of_diffusiondb(texts: list[str]) -> None:
    phrases = np.array([text.count(",") + 1 for text in texts])
    assert phrases.mean() == pytest.approx(6.5, abs=0.6)
    assert phrases.std() == pytest.approx(5.0, abs=0.4)
    assert np.percentile(phrases, [50, 95]) == pytest.approx([6, 16], abs=1)
    assert 1 - len(set(texts)) / len(texts) == pytest.approx(0.13, abs=0.02)


def test_every_feature_of_the_product_differs_between_prompts(texts: list[str]) -> None:
    values = np.array([prompt_features(text).values() for text in texts[:1000]])
    assert (values.std(axis=0) > 0.1).all()
    assert (values.mean(axis=0) < 0.9).all()


# Mean, deviation, quantiles (5, 25, 50, 75, 95 %), autocorrelation of the logarithm within a trace at 1, 5 and 10
# samples, and the samples' seconds, as published; of FCC's sets five seconds apart.
PUBLISHED = {
    "hsdpa": (1.00, 1.00, (0, 0.15, 0.81, 1.45, 2.98), (0.79, 0.63, 0.53), 1),
    "4g": (30.2, 16.7, (5.0, 18.0, 28.8, 40.8, 58.8), (0.54, 0.34, 0.25), 1),
    "fcc-sd": (6.1, 4.1, (0.31, 0.83, 7.7, 9.4, 11.1), (0.92, 0.66, 0.29), 5),
    "fcc-hd": (17.1, 12.6, (1.06, 1.9, 20.1, 25.8, 36.3), (0.91, 0.65, 0.29), 5),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_network_has_the_moments_quantiles_and_memory_of_its_set(name: str) -> None:
    mean, sd, quantiles, memory, apart = PUBLISHED[name]
    series = networks.mbps(networks.SETS[name], np.random.default_rng(1), 300_000)[::apart]
    assert series.mean() == pytest.approx(mean, rel=0.1)
    assert series.std() == pytest.approx(sd, rel=0.1)
    assert np.percentile(series, [5, 25, 50, 75, 95]) == pytest.approx(quantiles, rel=0.08, abs=0.05)
    traces = np.log(np.maximum(series[: len(series) // 300 * 300].reshape(-1, 300), 0.05))
    traces -= traces.mean(axis=1, keepdims=True)
    found = [float((traces[:, k:] * traces[:, :-k]).mean() / (traces * traces).mean()) for k in (1, 5, 10)]
    assert found == pytest.approx(memory, abs=0.13)


def test_an_outage_lets_a_trickle_through_so_that_a_transfer_ends() -> None:
    assert networks.bytes_per_s(np.array([0.0, 8.0])) == pytest.approx([12_500, 1e6])


@pytest.mark.parametrize("cv", [1.0, 2.0, 5.0])
def test_intervals_have_the_mean_and_the_variation_that_are_asked_for(cv: float) -> None:
    gaps = np.diff(workload.arrivals(np.random.default_rng(2), 200_000, 0.5, cv))
    assert gaps.mean() == pytest.approx(2.0, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05)


def test_two_servers_make_jobs_wait_as_queueing_theory_says() -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.exponential(1.0, 60_000))  # M/M/2 at 70 %: W = s r^2 / (1 - r^2) by Erlang's C
    work = rng.exponential(1.4, len(times))
    waits = workload.waiting(times, work, np.sort(rng.uniform(1000, times[-1], 10_000)))
    assert waits.mean() == pytest.approx(1.4 * 0.49 / 0.51, rel=0.1)


def test_nobody_waits_behind_nothing() -> None:
    assert workload.waiting(np.array([]), np.array([]), np.array([1.0, 2.0])).tolist() == [0.0, 0.0]
    waits = workload.waiting(np.array([0.0, 0.0, 0.0]), np.array([3.0, 5.0, 4.0]), np.array([1.0, 6.0, 9.0]))
    assert waits.tolist() == [4.0, 0.0, 0.0]  # the third follows the first: servers are free at 5 and at 7


def test_jobs_of_a_seed_are_always_the_same_and_links_change_when_told() -> None:
    one, two = (workload.jobs(np.random.default_rng(4), 400, rate=0.25, cv=1.0, change_at=0.5) for _ in range(2))
    assert one.prompts == two.prompts
    assert (one.rate == two.rate).all()
    phones = one.device == workload.DEVICES.index("phone")
    late = np.arange(400) >= 200
    assert np.median(one.rate[phones & late]) < 0.2 * np.median(one.rate[phones & ~late])
    assert (one.rate != one.rate_seen).any(), "what a device says of its link is some seconds old"
