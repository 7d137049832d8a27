"""The settings of the joint network and of its fit."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class PredictorConfig:
    """How the network is built, fitted and searched. `None` means: by the sequence length.

    Attributes:
      encoder: name in `ENCODERS`; the decoder follows from it.
      latent_size: D.
      hidden_size: width of encoder (LSTM state or layer), heads and decoder.
      task_embedding_size: length of e.
      num_members: E, networks of the ensemble; they differ in initial values and batches.
      source_steps: optimizer steps of the fit on the sources.
      target_steps: optimizer steps of each round, which starts from the sources' fit.
      source_learning_rate: peak rate of the sources' fit.
      target_learning_rate: peak rate of a round.
      weight_decay: decoupled, on all parameters; strong, as a few hundred noisy scores are all
        that a fit sees.
      batch_size: labelled architectures of a step.
      unlabelled_size: random architectures of a step, for reconstruction only.
      num_unlabelled: size of the fixed pool these are drawn from.
      target_share: share of the labelled batch that the target gets in a round, if there are
        sources; the sources share the rest evenly.
      score_weight: weight of the squared error; reconstruction gets the rest.
      residual_penalty: weight of the mean squared residual and task embedding.
      embedding_dropout: share of the batch in which e is 0.
      latent_noise: standard deviation of the noise on the latent, relative to its own rms.
      num_starts: best target and best source architectures that ascent starts from, each.
      ascent_rates: step sizes relative to the latent's rms; each start uses each of them.
      ascent_steps: gradient steps; every step is decoded.
      decode_temperature: of the Gumbel noise in decoding.
      seed: of initial values, batches and the unlabelled pool.
      cache_dir: folder in which fits on sources are kept between processes, or None.
    """

    encoder: str = "mlp"
    latent_size: int | None = None
    hidden_size: int | None = None
    task_embedding_size: int = 8
    num_members: int = 4
    source_steps: int | None = None
    target_steps: int = 150
    source_learning_rate: float = 5e-3
    target_learning_rate: float = 2e-3
    weight_decay: float = 1.0
    batch_size: int = 64
    unlabelled_size: int = 64
    num_unlabelled: int = 4096
    target_share: float = 0.3
    score_weight: float = 0.8
    residual_penalty: float = 3e-3
    embedding_dropout: float = 0.25
    latent_noise: float | None = None
    num_starts: int = 10
    ascent_rates: tuple[float, ...] = (0.15, 0.4)
    ascent_steps: int = 8
    decode_temperature: float | None = None
    seed: int = 0
    cache_dir: str | None = dataclasses.field(default=None, compare=False)

    def resolve(self, num_tokens: int) -> "PredictorConfig":
        """Returns a copy in which every None that depends on the length L is filled in."""
        long = num_tokens > 16
        lstm = self.encoder == "lstm"
        defaults = {
            "latent_size": 128 if long else 32,
            "hidden_size": 96 if lstm else 128 if long else 64,
            "source_steps": 500,
            "latent_noise": 0.1 if long else 0.2,
            "decode_temperature": 1.0 if long else 2.0,
        }
        missing = {k: v for k, v in defaults.items() if getattr(self, k) is None}
        return dataclasses.replace(self, **missing)
