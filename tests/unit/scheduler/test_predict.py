from __future__ import annotations

import pytest

from rise_contracts.errors import InvalidInput
from rise_contracts.messages import LinkQuality
from rise_contracts.model import Tier
from rise_scheduler.arm import ArmPart
from rise_scheduler.pace import Load
from rise_scheduler.place import Place
from rise_scheduler.predict import forecast, latent_bytes
from tests.unit.scheduler.builders import family, question

HEAD, TAIL = ArmPart("large", "edge", 6, 1.2), ArmPart("finisher", "device", 6)


def place(tier: Tier = "edge", per_step: float | None = 0.1, waiting: float = 0.0, **link: float) -> Place:
    quality = LinkQuality.model_validate({"rtt_s": 0.0} | link) if link else None
    return Place(tier, tier, None, True, per_step, waiting, quality)


def test_steps_times_speed_times_images() -> None:
    found = forecast((HEAD, TAIL), (place(), place("device", 0.02)), 2, 0)
    assert found.stage_seconds == pytest.approx((1.2, 0.24))
    assert found.latency_s == pytest.approx(1.44)
    assert found.edge_s == pytest.approx(1.2)


def test_a_stage_on_a_device_costs_the_edge_nothing() -> None:
    found = forecast((TAIL,), (place("device", 0.02),), 1, 0)
    assert found.edge_s == 0.0


def test_waiting_counts_as_so_many_stages_like_it() -> None:
    found = forecast((HEAD, TAIL), (place(waiting=2.0), place("device", 0.02, 0.5)), 1, 0)
    assert found.latency_s == pytest.approx(0.6 * 3 + 0.12 * 1.5)
    assert found.stage_seconds == pytest.approx((0.6, 0.12))


def test_a_handoff_costs_a_round_trip_on_either_side_and_its_bytes() -> None:
    found = forecast((HEAD, TAIL), (place(rtt_s=0.01, bytes_per_s=1000.0), place("device", 0.02, rtt_s=0.02)), 1, 500)
    assert found.latency_s == pytest.approx(0.6 + 0.12 + 0.03 + 0.5)
    alone = forecast((HEAD,), (place(rtt_s=0.01, bytes_per_s=1000.0),), 1, 500)
    assert alone.latency_s == pytest.approx(0.6)


def test_loading_is_part_of_the_latency_and_of_the_edges_time_and_of_no_stage() -> None:
    cold = place()._replace(load=Load(3.0, 1.0)), place("device", 0.02)._replace(load=Load(2.0, 0.5))
    found, warm = (forecast((HEAD, TAIL), places, 1, 0) for places in (cold, (place(), place("device", 0.02))))
    assert found.stage_seconds == warm.stage_seconds
    assert found.latency_s == pytest.approx((warm.latency_s or 0.0) + 5.0)
    assert found.edge_s == pytest.approx((warm.edge_s or 0.0) + 3.0)
    assert (found.loads, found.edge_load_s, found.load_variance) == ((3.0, 2.0), 3.0, 1.5)
    assert (found.predictions(0.7).load_s, warm.predictions(0.7).load_s) == (5.0, 0.0)


def test_the_receiver_s_rate_serves_where_the_sender_has_none() -> None:
    found = forecast((HEAD, TAIL), (place(), place("device", 0.02, bytes_per_s=1000.0)), 1, 500)
    assert found.latency_s == pytest.approx(0.72 + 0.5)


def test_an_unmeasured_stage_makes_the_sums_unknown() -> None:
    found = forecast((HEAD, TAIL), (place(), place("device", None)), 1, 0)
    assert found.stage_seconds[0] == pytest.approx(0.6)
    assert found.stage_seconds[1] is None
    assert found.latency_s is None
    assert found.edge_s is None
    predictions = found.predictions(0.7)
    assert (predictions.quality, predictions.stage_seconds) == (0.7, ())


def test_bytes_of_the_latents() -> None:
    spec = question().request.spec
    assert latent_bytes(spec, family(), "fp32") == 4 * 16 * 16 * 4
    assert latent_bytes(spec, family(), "q8") == 4 * 16 * 16
    larger = question(width=128, height=64, images=3).request.spec
    assert latent_bytes(larger, family(), "fp16") == 4 * 32 * 16 * 2 * 3
    sd = family(latent=None, defaultSize=512)
    assert latent_bytes(spec, sd, "fp16") == 32_768


def test_a_latent_of_a_video_has_as_many_layers_as_its_frames_need() -> None:
    wan = family(architecture="wan", latent=None, defaultSize=64, defaultFrames=9)
    assert latent_bytes(question().request.spec, wan, "fp16") == 4 * 8 * 8 * 2 * 3
    assert latent_bytes(question(frames=81).request.spec, wan, "fp16") == 4 * 8 * 8 * 2 * 21
    with pytest.raises(InvalidInput, match="makes pictures, not videos"):
        latent_bytes(question(frames=5).request.spec, family(), "fp16")
