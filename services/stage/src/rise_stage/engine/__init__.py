"""Denoising without a bus: schedules and solvers (pure), families (weights), latents (bytes), and `Engine`.

`Engine` is the front: load a family, encode prompts, run stages, decode pictures. Nothing here reads the
environment, the clock's date or a random state of its own.
"""

from rise_stage.engine.engine import Engine, Generated

__all__ = ["Engine", "Generated"]
