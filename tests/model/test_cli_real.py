"""`rise` with real workers and a pipeline of the true architecture, its weights random: the path, unjudged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from rise_contracts import manifest
from tests.bus import cli
from tests.model.tiny import tiny_family
from tests.model.tiny_clip import tiny_clip

PROMPT = "a small red circle above a large blue square"
RELAY = "large:4@1.2+finisher:3"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cli.Home]:
    """A platform that is up, serves the family `tiny`, and scores each of its jobs."""
    place = cli.Home(tmp_path_factory.mktemp("real"))
    del place.environment["RISE_WORKER_COMMAND"]
    family = tiny_family(place.folder / "model", steps_offset=1)
    spec = family.spec.model_copy(update={"default_size": 64, "handoffs": (1.2, 0.6)})
    place.family.write_text(manifest.dump(family.model_copy(update={"spec": spec})))
    tiny_clip(place.folder / "clip")
    scored = ("--judge", "pickscore:./clip", "--judge-share", "1", "--judge-range", "-100", "100")
    up = place.rise("up", "--only", "--family", str(place.family), *scored, "--json")
    try:
        assert up.json()["families"] == ["tiny"]
        yield place
    finally:
        assert place.rise("down").code == 0
    place.assert_clean()


def test_a_relay_draws_the_same_picture_twice_and_shows_what_it_handed_over(home: cli.Home) -> None:
    asked = (PROMPT, "--seed", "7", "--fixed", RELAY, "--preview", "--json")
    first, second = (home.run(*asked).json()["runs"][0] for _ in range(2))
    assert first["digest"] == second["digest"]
    assert [(stage["tier"], stage["member"], stage["steps"]) for stage in first["stages"]] == [
        ("edge", "large", 4),
        ("device", "finisher", 3),
    ]
    (handoff,) = first["handoffs"]
    assert handoff["sigma"] == pytest.approx(1.2)
    assert handoff["nbytes"] >= 4 * 16 * 16 * 2  # a latent of 4 x 16 x 16 in fp16
    picture, preview = first["pictures"][0]["path"], handoff["preview"]
    assert [shape(path) for path in (picture, preview)] == [("RGB", (64, 64))] * 2
    assert deviation(picture) > 1


def test_a_scorer_tells_the_scheduler_what_a_picture_is_worth(home: cli.Home) -> None:
    job = home.rise("submit", PROMPT, "--family", "tiny", "--fixed", RELAY).out.strip()
    assert home.rise("watch", job).code == 0
    told = None
    for _ in range(60):  # torch is imported at idle priority
        told = home.rise("explain", job, "--json").json()["decision"]["outcome"]
        if told is not None and told["quality"] is not None:
            break
    assert told is not None
    assert told["judged_by"] == "pickscore"
    assert 0.0 < told["quality"] < 1.0
    assert " by pickscore, " in home.rise("explain", job).out


def test_another_seed_is_another_picture(home: cli.Home) -> None:
    runs = [home.run(PROMPT, "--seed", seed, "--fixed", RELAY, "--json").json()["runs"][0] for seed in ("7", "8")]
    assert runs[0]["digest"] != runs[1]["digest"]


def test_pictures_may_be_many_and_of_another_size(home: cli.Home) -> None:
    asked = (PROMPT, "--seed", "7", "--fixed", "small:2", "-n", "3", "--size", "96x64", "--json")
    (run,) = home.run(*asked).json()["runs"]
    assert [shape(picture["path"]) for picture in run["pictures"]] == [("RGB", (96, 64))] * 3
    assert len({picture["sha256"] for picture in run["pictures"]}) == 3
    assert all(picture["verdict"] is None for picture in run["pictures"])


def test_the_scheduler_chooses_and_a_comparison_goes_through_every_arm(home: cli.Home) -> None:
    (run,) = home.run(PROMPT, "--seed", "7", "--preference", "speed", "--json").json()["runs"]
    assert run["policy"] == "composed"
    report = home.run(PROMPT, "--seed", "7", "--compare", "--json").json()
    assert report["runs"][0]["arm"] == "large:20"
    assert {run["seed"] for run in report["runs"]} == {7}
    assert all(run["speedup"] for run in report["runs"][1:])
    assert Path(report["sheet"]).is_file()


def shape(path: str) -> tuple[str, tuple[int, int]]:
    with Image.open(path) as picture:
        return picture.mode, picture.size


def deviation(path: str) -> float:
    """How far pixels are from the mean: nought for a picture of one colour."""
    with Image.open(path) as picture:
        return max(ImageStat.Stat(picture).stddev)
