"""The quality of arms for a prompt by what was learned, and how sure that is.

The features of an arm and a prompt are linear in z = (1, complexity, the prompt's features): x = L z. So with the
model's theta and A^-1 what the arms bring is worked out once for each state of it, and a prompt costs two products:

    mean = base + (L^T theta) z,    variance = z^T (L^T A^-1 L) z
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from rise_contracts.resources import ModelFamily
from rise_scheduler.arm import Arm
from rise_scheduler.composed.change import noise_variance
from rise_scheduler.composed.features import Design, design_for
from rise_scheduler.composed.knowledge import Knowledge, Learning
from rise_scheduler.composed.prior import Solved, solved
from rise_scheduler.posterior import Array
from rise_scheduler.prompt import PromptFeatures

FORMS_KEPT = 64
"""Of one state: as many sets of arms as workers make possible, and more."""


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """Of K arms: ``linear`` (K, Z) and ``square`` (K, Z x Z), the coefficients of z and of z z^T."""

    linear: Array
    square: Array

    def at(self, prompt: PromptFeatures) -> tuple[Array, Array]:
        """The means, not yet within 0..1, and the variances in units of the noise's: (K,) each."""
        z = np.array((1.0, prompt.complexity, *prompt.values()))
        return self.linear @ z, self.square @ (z[:, None] * z).ravel()


_FORMS: WeakKeyDictionary[Solved, dict[tuple[Design, tuple[str, ...]], Form]] = WeakKeyDictionary()


def qualities(
    arms: Sequence[Arm], family: ModelFamily, prompt: PromptFeatures, known: Knowledge, how: Learning
) -> tuple[Array, Array]:
    """Per arm (K,): the quality, 0..1, and its standard deviation."""
    design = design_for(family)
    model = solved(known.quality, design.names, how.prior, known.trust(how))
    forms, wanted = _FORMS.setdefault(model, {}), (design, tuple([arm.name for arm in arms]))
    form = forms.get(wanted)
    if form is None:
        if len(forms) >= FORMS_KEPT:
            forms.clear()
        form = forms[wanted] = form_of(arms, design, model)
    mean, variance = form.at(prompt)
    # A form's terms may cancel to a little less than nothing.
    return np.minimum(np.maximum(mean, 0.0), 1.0), np.sqrt(np.maximum(variance, 0.0) * noise_variance(known.noise))


def form_of(arms: Sequence[Arm], design: Design, model: Solved) -> Form:
    """L's columns are the arm's features, those that count again with the complexity, and one for each of the
    prompt's, the same for every arm."""
    static, base = design.rows_of(arms)
    (count, width), size = static.shape, len(design.names)
    prompts = slice(width + design.common, size)
    own, harder = np.zeros((2, count, size))
    own[:, :width], harder[:, width : prompts.start] = static, static[:, : design.common]
    columns = 2 + size - prompts.start
    linear, square = np.empty((count, columns)), np.empty((count, columns, columns))
    linear[:, 0], linear[:, 1] = base + own @ model.theta, harder @ model.theta
    linear[:, 2:], square[:, 2:, 2:] = model.theta[prompts], model.inverse[prompts, prompts]
    for column, rows in enumerate((own, harder)):
        spread = rows @ model.inverse
        square[:, column, 2:] = square[:, 2:, column] = spread[:, prompts]
        for other, others in enumerate((own, harder)):
            square[:, column, other] = np.einsum("kd,kd->k", spread, others)
    return Form(linear, square.reshape(count, columns * columns))
