"""What a command line says of a scorer, and which jobs are in a sample."""

from __future__ import annotations

import pytest

from rise_contracts import sampling, scorers
from rise_contracts.errors import InvalidInput, UnknownName
from rise_contracts.resources import Source

JOBS = [f"job-{number}" for number in range(5000)]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("clipscore:/models/clip", Source(path="/models/clip")),
        ("clipscore:./clip", Source(path="./clip")),
        ("clipscore:~/clip", Source(path="~/clip")),
        ("clipscore:owner/name", Source(hub="owner/name")),
    ],
)
def test_a_folder_begins_as_folders_do_and_everything_else_is_of_the_hub(text: str, source: Source) -> None:
    chosen = scorers.parse(text)
    assert (chosen.name, chosen.source, str(chosen)) == ("clipscore", source, text)


@pytest.mark.parametrize("text", ["", "clipscore", "clipscore:", "clipscore:a/b/c", "clipscore:two words"])
def test_what_names_no_weights_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"wanted .*OWNER/REPOSITORY"):
        scorers.parse(text)


def test_a_scorer_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'pickscore'"):
        scorers.parse("picscore:owner/name")


def test_a_sample_is_always_the_same_and_a_larger_one_holds_it() -> None:
    tenth = [job for job in JOBS if sampling.is_sampled("score", job, 0.1)]
    assert 400 < len(tenth) < 600
    assert tenth == [job for job in JOBS if sampling.is_sampled("score", job, 0.1)]
    assert all(sampling.is_sampled("score", job, 0.3) for job in tenth)
    assert all(sampling.is_sampled("score", job, 1.0) for job in JOBS)
    assert not any(sampling.is_sampled("score", job, 0.0) for job in JOBS)


def test_samples_for_two_purposes_have_nothing_to_do_with_each_other() -> None:
    both = [job for job in JOBS if all(sampling.is_sampled(what, job, 0.1) for what in ("score", "audit"))]
    assert 20 < len(both) < 90


def test_a_job_is_in_the_sample_that_it_was_in_before() -> None:
    """Another hash would have a running platform score what it has scored, and leave out what it has not."""
    assert [job for job in JOBS[:40] if sampling.is_sampled("score", job, 0.1)] == ["job-2", "job-9", "job-26"]
