"""Training of the decoder: losses, batches, checkpoints."""

import dataclasses
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.leaves import numbered, restored
from experiments.one_pass.data import Pairs
from nstjax import TransferConfig
from nstjax.arbitrary.apply import Decoder
from nstjax.arbitrary.decoder import (
    DECODER_LAYERS,
    DecoderConfig,
    adapted,
    decode,
    describe_style,
    init_decoder,
    ordered,
    with_noise,
)
from nstjax.arbitrary.stages import encode, started, transported
from nstjax.arbitrary.store import load_decoder
from nstjax.arbitrary.transport import ActivationMoments, moments_of
from nstjax.checkpoints import Series
from nstjax.digests import tree_digest
from nstjax.errors import InputError
from nstjax.images import resize
from nstjax.losses import Objective, make_targets, objective
from nstjax.nn.prepare import prepared
from nstjax.synthesis.loss import FeatureExtractor
from nstjax.typing import Backbone, Features, Images

SAVE_SECONDS = 180
LOG_EVERY = 25


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Settings of the training."""

    decoder: DecoderConfig = DecoderConfig(norm=False, blocks=(0, 0, 0, 2, 2), upsampling="bilinear")
    """The decoder."""
    steps: int = 4200
    """Number of steps of Adam."""
    early_steps: int = 2300
    """Number of the first steps, which use smaller crops."""
    early_side: int = 128
    """Side of their crops in pixels."""
    batch: int = 4
    """Photographs in a step, each with a style of its own."""
    side: int = 192
    """Side of the crops of the other steps in pixels."""
    learning_rate: float = 1e-3
    """Peak learning rate; it is reached after 200 steps and decays to 0 with a cosine."""
    identity: float = 0.1
    """Share of the pairs whose style image is the photograph itself, so that the decoder also reconstructs."""
    coarse: int = 0
    """Number of photographs of a batch that are stylized coarse to fine, as in :func:`nstjax.stylize_arbitrary`."""
    initial: Path | None = None
    """Folder of a decoder whose weights are the initial ones; by default they are random."""
    seed: int = 0
    """Seed of the batches and the initial weights."""

    def side_of(self, step: int) -> int:
        """Return the side of the crops of a step in pixels."""
        return self.early_side if step < self.early_steps else self.side


DEFAULT = TransferConfig()
EXTRACT = FeatureExtractor(DEFAULT.pooling, DEFAULT.pooling_scale, DEFAULT.padding)


def objective_of(backbone: Backbone) -> Objective:
    """Return the default objective of a transfer, with equal weights of the style layers."""
    return Objective().for_layers(backbone.layers)


def batch_losses(
    backbone: Backbone, record: Objective, images: Images, contents: Features, styles: Features
) -> Any:
    """Compute the objective of each image of a batch, ``(n,)``, and its terms.

    Args:
        backbone: the feature network.
        record: the objective, with named layers.
        images: the decoder's output, ``(n, h, w, 3)``.
        contents: activations of the photographs.
        styles: activations of the style images.
    """

    def one(image: Images, content: Features, style: Features) -> Any:
        targets = make_targets(
            record,
            {name: content[name][None] for name in record.used_content_layers},
            {name: style[name][None] for name in record.used_style_layers},
        )
        return objective(record, EXTRACT, backbone, targets)(image[None])

    return jax.vmap(one)(images, contents, styles)


def noisy(config: DecoderConfig, inputs: Sequence[jax.Array], key: jax.Array) -> list[jax.Array]:
    """Return the activations with channels of noise, drawn with ``key``."""
    keys = jax.random.split(key, len(inputs))
    noise = [
        jax.random.normal(own, (*x.shape[:3], config.noise), x.dtype)
        for x, own in zip(inputs, keys, strict=True)
    ]
    return with_noise(inputs, noise)


def make_step(recipe: Recipe, optimizer: Any, sizes: tuple[float, ...], record: Objective) -> Any:
    """Return the compiled training step."""

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(
        params: Any, state: Any, backbone: Backbone, contents: Images, styles: Images, number: Any
    ) -> Any:
        seen = tuple(dict.fromkeys([*DECODER_LAYERS, *record.layers]))
        photos, paintings = jax.lax.stop_gradient(
            [EXTRACT(backbone, images, seen) for images in (contents, styles)]
        )
        style = [moments_of(x) for x in ordered(paintings)]
        described = describe_style(style, sizes)
        keys = jax.random.split(jax.random.fold_in(jax.random.key(recipe.seed), number))
        activations = ordered(photos)
        if recipe.coarse:
            few = recipe.coarse
            side = contents.shape[1]
            small = resize(contents[:few], side // 2, side // 2).clip(0, 1)
            first = [ActivationMoments(of.mean[:few], of.covariance[:few]) for of in style]
            inputs = noisy(recipe.decoder, transported(encode(backbone, small), first, sizes), keys[0])
            pictures = decode(recipe.decoder, adapted(recipe.decoder, params, described[:few]), inputs)
            start = started(contents[:few], pictures.clip(0, 1))
            activations = [
                jnp.concatenate([x, y[few:]])
                for x, y in zip(encode(backbone, start), activations, strict=True)
            ]
        inputs = transported(activations, style, sizes)
        inputs, described = jax.lax.stop_gradient((inputs, described))
        inputs = noisy(recipe.decoder, inputs, keys[1])

        def loss(params: Any) -> Any:
            images = decode(
                recipe.decoder, adapted(recipe.decoder, params, described), inputs, in_phases=True
            )
            values, terms = batch_losses(backbone, record, images, photos, paintings)
            return values.mean(), {name: term.mean() for name, term in terms.items()}

        (value, terms), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, {"loss": value, **terms}

    return step


def activation_sizes(backbone: Backbone, pairs: Pairs, batch: int, side: int) -> tuple[float, ...]:
    """Return the root mean square of the activations of each layer, over some batches."""
    squares = []
    for number in range(8):
        contents, styles = pairs.batch(10_000_000 + number, batch, side)
        for images in (contents, styles):
            squares.append([float(jnp.mean(x**2)) for x in encode(backbone, jnp.asarray(images))])
    return tuple(float(v) for v in np.sqrt(np.mean(squares, 0)))


def train(recipe: Recipe, backbone: Backbone, pairs: Pairs, folder: Path) -> Decoder:
    """Train a decoder, or resume the training in ``folder``.

    Args:
        recipe: settings; the decoder's inputs are taken from the network.
        backbone: the feature network.
        pairs: the source of the batches.
        folder: folder for checkpoints and the log.

    Raises:
        InputError: If the checkpoints in ``folder`` are of another recipe, network or set of pictures, or the
            weights become non-finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record, began = objective_of(backbone), time.perf_counter()
    heads = tuple(backbone.params[f"conv{name[4:]}"]["head"].shape[1] for name in DECODER_LAYERS)
    recipe = dataclasses.replace(recipe, decoder=dataclasses.replace(recipe.decoder, inputs=heads))
    network = prepared(backbone, record.layers)
    series = Series(folder / "checkpoints")
    saved = series.load_newest()
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, min(200, recipe.steps // 2), recipe.steps
    )
    optimizer = optax.apply_if_finite(optax.chain(optax.clip_by_global_norm(10.0), optax.adam(schedule)), 10)
    digest: str | None = None
    if recipe.initial is None:
        params: Any = init_decoder(recipe.decoder, jax.random.key(recipe.seed))
    else:
        initial = load_decoder(recipe.initial)
        if initial.config != recipe.decoder:
            raise InputError(f"the decoder in {recipe.initial} has other settings than the recipe")
        params = {name: dict(leaves) for name, leaves in initial.params.items()}
        digest = tree_digest(initial.params)  # a path would mean something on this machine only
    state = optimizer.init(params)
    begun, seconds = 0, 0.0
    identity = {
        "recipe": json.loads(json.dumps({**dataclasses.asdict(recipe), "initial": digest})),
        "network": backbone.sha256,
        "pictures": pairs.pictures.digest(),
    }
    if saved is not None:
        if saved[1].get("identity") != identity:
            raise InputError(
                f"the checkpoints in {folder} are of another recipe, network or set of pictures: choose another --name"
            )
        params, state = restored((params, state), saved[0])
        begun, seconds = saved[1]["step"], saved[1]["seconds"]
        sizes = tuple(saved[1]["sizes"])
    else:
        sizes = (
            activation_sizes(backbone, pairs, recipe.batch, recipe.side)
            if recipe.initial is None
            else load_decoder(recipe.initial).sizes
        )
    step_of = make_step(recipe, optimizer, sizes, record)

    def save(done: int) -> None:
        tree = numbered((params, state))
        if not all(np.isfinite(leaf).all() for leaf in tree.values()):
            raise InputError("the weights are not finite any more: lower --learning-rate")
        spent = seconds + time.perf_counter() - began
        series.save(done, tree, {"step": done, "seconds": spent, "sizes": list(sizes), "identity": identity})

    last, sums = time.perf_counter(), []
    for step, (contents, styles) in zip(
        range(begun, recipe.steps),
        pairs.ahead(begun, recipe.steps, recipe.batch, recipe.side_of),
        strict=True,
    ):
        params, state, metrics = step_of(
            params, state, network, jnp.asarray(contents), jnp.asarray(styles), step
        )
        sums.append({name: float(value) for name, value in metrics.items()})  # waits for the step
        done = step + 1
        if done % LOG_EVERY == 0 or done == recipe.steps:
            mean = {name: float(np.mean([m[name] for m in sums])) for name in sums[0]}
            sums = []
            line = {"step": done, "seconds": round(seconds + time.perf_counter() - began, 1), **mean}
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            style = sum(v for k, v in mean.items() if k.startswith("style"))
            print(
                f"step {done}, {line['seconds']:.0f} s, loss {mean['loss']:.3f}, style {style:.3f}",
                flush=True,
            )
        if time.perf_counter() - last > SAVE_SECONDS or done == recipe.steps:
            save(done)
            last = time.perf_counter()
    facts = {"training": identity, "steps": recipe.steps, "weights": backbone.describe()}
    return Decoder(recipe.decoder, params, sizes, facts)
