"""Sets the learning rates of a run: constant, or falling at its end."""

from networks import audio_model as audio_model_lib
from training import config as config_lib

END_SHARE = 0.02  # of the learning rate, at the last update


def share_at(step: int, settings: config_lib.CommonTrainConfig) -> float:
    """Returns the share of the learning rate that an update has.

    Args:
      step: Number of training steps before this one.
      settings: Settings of the run.
    """
    if not settings.decay_steps:
        return 1.0
    left = (settings.max_steps - step) / settings.decay_steps
    return END_SHARE + (1 - END_SHARE) * min(1.0, max(0.0, left))


class LearningRates:
    """Sets the learning rates of all optimizers before each update.

    They depend on the number of the update alone, so that a resumed run has the
    same as one without a break.

    Args:
      audio_model: Compiled; its optimizers have their full learning rates.
      settings: Settings of the run.
    """

    def __init__(
        self,
        audio_model: audio_model_lib.AudioModel,
        settings: config_lib.CommonTrainConfig,
    ) -> None:
        optimizers = audio_model.optimizers.values()
        rates = [optimizer.learning_rate.value for optimizer in optimizers]
        self._rates = [(rate, float(rate.numpy())) for rate in rates]
        self._settings = settings
        self._share: float | None = None

    def set(self, step: int) -> None:
        """Sets the learning rates of the update after `step` updates."""
        share = share_at(step, self._settings)
        if share != self._share:
            for variable, full in self._rates:
                variable.assign(share * full)
            self._share = share
