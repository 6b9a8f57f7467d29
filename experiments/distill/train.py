"""The training of one student."""

import dataclasses
import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import nstjax
from experiments.distill.data import Crops, Pictures
from experiments.distill.fit import Batch, Fitter
from experiments.distill.iterates import Iterates
from experiments.distill.precondition import Bases, in_bases, input_bases
from experiments.distill.recipe import Recipe
from experiments.distill.teacher import Directions, Moments, find_directions, mixed, second_moments, targets
from nstjax.checkpoints import Series
from nstjax.errors import InputError
from nstjax.losses import gram_matrix
from nstjax.nn.student import init_student, make_student
from nstjax.typing import Backbone, Features, Params, Pooling
from nstjax.weights.eight_bit import dequantize, quantize

HELD_OUT = 48  # photographs on which nothing is trained
MOMENT_BATCHES = 64
FIT_BATCH = 8  # images
BASIS_BATCHES = 24
OWN_STEPS = 480  # advances of the transfers of a refit
OWN_EVERY = 4  # every so many-th advance gives a batch
RECENT = 250  # batches that are kept to be used again
FEWEST = 64  # batches to keep before any is used again, lest the student learn a few by heart
FAR = 10_000_000  # a step that no training comes to
SAVE_SECONDS = 180.0
CHECK_EVERY = 250  # steps
Errors = dict[str, dict[str, jax.Array]]  # by layer, of "features" and "gram"


def _errors(
    params: Params, images: jax.Array, wanted: Features, power: Mapping[str, float], pooling: Pooling
) -> Errors:
    """Errors at each layer: of activations relative to their mean square ``power``, and of Gram matrices."""
    found = nstjax.features(make_student(params), images, tuple(wanted), pooling, padding="replicate")
    return {
        name: {
            "features": jnp.mean(jnp.sum((found[name] - wanted[name]) ** 2, -1)) / power[name],
            "gram": _gram_error(found[name], wanted[name]),
        }
        for name in wanted
    }


def _gram_error(found: jax.Array, wanted: jax.Array) -> jax.Array:
    """Mean of ‖G − G*‖²/(‖G*‖² + a tenth of its mean over the images).

    What a student errs in at random cancels in a Gram matrix, what it errs in systematically does not, and a
    transfer's style loss sees nothing else. Without the mean below, dark images would decide: theirs is about 0.
    """
    g, target = (gram_matrix(f, "positions") for f in (found, wanted))
    squared = jnp.sum(target**2, (1, 2))
    return jnp.mean(jnp.sum((g - target) ** 2, (1, 2)) / (squared + 0.1 * jnp.mean(squared)))


def make_step(
    optimizer: optax.GradientTransformation,
    gram_weight: float,
    power: Mapping[Pooling, Mapping[str, float]],
) -> Callable[..., tuple[Params, Any, Errors]]:
    """Return a training step: ``step(params, state, images, wanted, pooling)``.

    Args:
        optimizer: from optax.
        gram_weight: weight of the errors of Gram matrices.
        power: mean squared norm of the targets by pooling and layer, by which errors of activations are divided.
    """

    @partial(jax.jit, static_argnames="pooling")
    def step(
        params: Params, state: Any, images: jax.Array, wanted: Features, pooling: Pooling
    ) -> tuple[Params, Any, Errors]:
        wanted = jax.tree.map(lambda x: x.astype(jnp.float32), wanted)

        def loss(params: Params) -> tuple[jax.Array, Errors]:
            errors = _errors(params, images, wanted, power[pooling], pooling)
            total = jnp.zeros(())
            for error in errors.values():
                total += error["features"] + gram_weight * error["gram"]
            return total, errors

        gradient, errors = jax.grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, errors

    return step


@dataclasses.dataclass(frozen=True)
class Lesson:
    """Images and the teacher's answers at the heads, in half precision to save memory."""

    images: jax.Array
    wanted: Features
    pooling: Pooling


class Lessons:
    """The batches of a training: new crops and transfers, and repetitions of recent ones.

    The teacher's forward pass and the transfers take most of a step's time, so each batch is used several times.

    Args:
        recipe: what to train.
        teacher: VGG-19.
        crops: where pictures come from.
        directions: of the heads.
    """

    def __init__(self, recipe: Recipe, teacher: Backbone, crops: Crops, directions: Directions) -> None:
        self.recipe, self.teacher, self.directions = recipe, teacher, directions
        self.iterates = Iterates(crops, recipe.iterates)
        self.recent: deque[Lesson] = deque(maxlen=RECENT)
        self._answer = jax.jit(
            lambda t, x, d, pooling: jax.tree.map(
                lambda y: y.astype(jnp.float16), targets(t, x, d, recipe.layers, pooling)
            ),
            static_argnames="pooling",
        )

    def new(self, number: int, batch: np.ndarray, params: Params) -> Lesson:
        """Return a new lesson: a batch of crops, and transfers that are taken further with the student."""
        images = jnp.asarray(batch)
        if self.recipe.iterates:
            images = jnp.concatenate([images, self.iterates.next(number, params)])
        pooling = self.recipe.pooling_of(number)
        lesson = Lesson(images, self._answer(self.teacher, images, self.directions, pooling=pooling), pooling)
        self.recent.append(lesson)
        return lesson

    def again(self, step: int) -> Lesson:
        """Return a recent lesson, drawn with the step as the seed."""
        return self.recent[np.random.default_rng((self.recipe.seed, 3, step)).integers(len(self.recent))]


def export(params: Params, directions: Directions, source: str) -> Backbone:
    """Return the network to ship: heads in the teacher's units, weights rounded as they are stored."""
    scaled = {
        name: {key: np.asarray(value) for key, value in layer.items()} for name, layer in params.items()
    }
    for name, layer in scaled.items():
        if "head" in layer:
            total = directions.total[f"relu{name.removeprefix('conv')}"]
            layer["head"] = layer["head"] * np.sqrt(np.asarray(total))
    stored = quantize(scaled)
    digest = hashlib.sha256()
    for name, layer in stored.items():
        for key, value in layer.items():
            if not np.isfinite(value).all():
                raise ArithmeticError(f"{name}/{key} does not fit into float16")
            digest.update(value.tobytes())
    return make_student(dequantize(stored), source=source, sha256=digest.hexdigest())


def split(recipe: Recipe, pictures: Pictures) -> tuple[Crops, Crops]:
    """The crops to train on, and those of the photographs that are held out."""
    kept, held = pictures.photographs[:-HELD_OUT], pictures.photographs[-HELD_OUT:]
    return (
        Crops(Pictures(kept, pictures.paintings), recipe.seed, recipe.painted),
        Crops(Pictures(held, ()), recipe.seed + 1),
    )


def every_layer(recipe: Recipe) -> tuple[str, ...]:
    """The ReLU after each of a recipe's convolutions."""
    return tuple(f"relu{name.removeprefix('conv')}" for name in recipe.widths)


def kept_moments(
    path: Path, teacher: Backbone, crops: Crops, layers: tuple[str, ...], poolings: Iterable[Pooling]
) -> dict[Pooling, Moments]:
    """The teacher's second moments on the crops, from the file ``path`` if it exists.

    A resumed training must not measure them again: its heads belong to these directions.
    """
    if not path.exists():
        found: dict[str, np.ndarray] = {}
        with jax.default_matmul_precision("highest"):
            for pooling in poolings:
                batches = (crops.batch(FAR + i, 8) for i in range(MOMENT_BATCHES))
                moments = second_moments(teacher, batches, layers, pooling)
                found |= {f"{pooling}/{name}": moment for name, moment in moments.items()}
        np.savez(path, **found)  # type: ignore[arg-type]
    with np.load(path) as kept:
        return {pooling: {name: kept[f"{pooling}/{name}"] for name in layers} for pooling in poolings}


def kept_bases(path: Path, params: Params, crops: Crops, recipe: Recipe) -> Bases:
    """The bases in which Adam works, from the file ``path`` if it exists: Adam's state belongs to them."""
    if not path.exists():
        batches = [(crops.batch(FAR + i, FIT_BATCH), recipe.pooling_of(i)) for i in range(BASIS_BATCHES)]
        found = input_bases(params, batches)
        arrays = {f"{conv}/{key}": basis for conv, layer in found.items() for key, basis in layer.items()}
        np.savez(path, **arrays)  # type: ignore[arg-type]
    bases: Bases = {}
    with np.load(path) as kept:
        for name in kept.files:
            conv, key = name.split("/")
            bases.setdefault(conv, {})[key] = jnp.asarray(kept[name])
    return bases


def own_pictures(recipe: Recipe, crops: Crops, params: Params, refit: int) -> Iterator[Batch]:
    """Transfers of all ages, made with a student: see :mod:`experiments.distill.iterates`."""
    iterates = Iterates(crops, FIT_BATCH)
    for i in range(OWN_STEPS):
        images = iterates.next(FAR * (3 + refit) + i, params)
        if i % OWN_EVERY == OWN_EVERY - 1:
            yield np.asarray(images), recipe.pooling_of(i // OWN_EVERY)


def fitted_start(
    recipe: Recipe, teacher: Backbone, crops: Crops, moments: Moments, directions: Directions
) -> Params:
    """Fit a student to pictures, then again with its own transfers among them."""
    fitter = Fitter(teacher, moments, directions, recipe.widths)
    pictures = (
        (crops.batch(2 * FAR + i, FIT_BATCH), recipe.pooling_of(i)) for i in range(recipe.fit_batches)
    )
    seen = fitter.see(pictures)
    params = fitter.fit(seen if recipe.refits == 0 else seen[: max(recipe.fit_batches // 4, 1)])
    for refit in range(recipe.refits):
        print(f"fitted; transfers of round {refit + 1}", flush=True)
        seen += fitter.see(own_pictures(recipe, crops, params, refit))
        params = fitter.fit(seen)
    return params


def _powers(moments: dict[Pooling, Moments], directions: Directions) -> dict[Pooling, dict[str, float]]:
    """Mean squared norm of the targets with each pooling; over all poolings it is about 1."""
    return {
        pooling: {name: float(np.trace(each[name]) / directions.total[name]) for name in directions.basis}
        for pooling, each in moments.items()
    }


def _check_same(folder: Path, facts: dict[str, Any]) -> None:
    """Refuse to go on with another training than the one that a folder holds."""
    path = folder / "training.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(facts, indent=1))
    elif json.loads(path.read_text()) != json.loads(json.dumps(facts)):
        raise InputError(
            f"{folder} holds a training by another recipe or on other pictures: choose another --name, or delete it"
        )


def train(recipe: Recipe, teacher: Backbone, pictures: Pictures, folder: Path, source: str) -> Backbone:
    """Train a student, or go on with one that was interrupted.

    An interrupted training goes on from its last checkpoint with the same crops; the transfers among them
    (see :mod:`experiments.distill.iterates`) start again.

    Args:
        recipe: what to train.
        teacher: VGG-19, to relu3_2 at least.
        pictures: what to train on; the last photographs are held out.
        folder: for checkpoints and ``log.jsonl``; a finished training is not repeated.
        source: in words, for the network's record.

    Raises:
        InputError: there are too few photographs, or the folder holds another training.
    """
    if len(pictures.photographs) <= HELD_OUT:
        raise InputError(
            f"there are {len(pictures.photographs)} photographs: more than {HELD_OUT} are wanted"
        )
    facts = {
        "recipe": dataclasses.asdict(recipe),
        "teacher": teacher.describe(),
        "pictures": pictures.digest(),
    }
    _check_same(folder, facts)
    began = time.perf_counter()
    crops, held_out = split(recipe, pictures)
    layers = recipe.layers
    each = kept_moments(folder / "moments.npz", teacher, crops, every_layer(recipe), recipe.poolings)
    moments = mixed(each, recipe.poolings)
    directions = find_directions(moments, recipe.directions)
    shares = {name: round(float(share), 4) for name, share in directions.kept.items()}
    print("kept of the second moments:", shares, flush=True)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, min(100, recipe.steps // 2), max(recipe.steps, 1)
    )
    series = Series(folder / "checkpoints")
    saved = series.load_newest()
    params: Params = (
        fitted_start(recipe, teacher, crops, moments, directions)
        if recipe.fitted and saved is None
        else init_student(jax.random.key(recipe.seed), recipe.widths, recipe.outputs)
    )
    bases = kept_bases(folder / "bases.npz", params, crops, recipe)
    optimizer = in_bases(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)), bases)
    state = optimizer.init(params)
    log = folder / "log.jsonl"
    begun, seconds = 0, 0.0
    check = held_out.batch(0, 16)
    wanted = {
        p: jax.jit(partial(targets, layers=layers, pooling=p))(teacher, check, directions)
        for p in recipe.poolings
    }
    errors_of = jax.jit(_errors, static_argnames="pooling")
    power = _powers(each, directions)

    def held_out_errors(params: Params) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for p in recipe.poolings:
            errors = errors_of(params, check, wanted[p], power[p], p)
            found[f"held_out_{p}" if found else "held_out"] = jax.tree.map(float, errors)
        return found

    def save(step: int) -> None:
        tree = {f"{i:04d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves((params, state)))}
        series.save(step, tree, {"step": step, "seconds": seconds + time.perf_counter() - began})

    last_saved = time.perf_counter()
    if saved is not None:
        leaves = [saved[0][f"{i:04d}"] for i in range(len(saved[0]))]
        params, state = jax.tree.unflatten(jax.tree.structure((params, state)), map(jnp.asarray, leaves))
        begun, seconds = saved[1]["step"], saved[1]["seconds"]
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        log.write_text("".join(json.dumps(line) + "\n" for line in lines if line["step"] <= begun))
    else:
        save(0)
        log.write_text(
            json.dumps({"step": 0, "seconds": 0.0, "trained": {}, **held_out_errors(params)}) + "\n"
        )
    step_of = make_step(optimizer, recipe.gram_weight, power)
    lessons = Lessons(recipe, teacher, crops, directions)
    recent: list[Any] = []
    uses = 1 + recipe.repeats
    number = begun - 1  # of the newest batch; at most one a step
    batches = crops.ahead(begun, recipe.steps, recipe.batch)
    for step in range(begun, recipe.steps):
        if step % uses == 0 or len(lessons.recent) < FEWEST:
            number += 1
            lesson = lessons.new(number, next(batches), params)
        else:
            lesson = lessons.again(step)
        params, state, errors = step_of(params, state, lesson.images, lesson.wanted, lesson.pooling)
        if lesson.pooling == next(iter(recipe.poolings)):
            recent.append(errors)
        done, now = step + 1, time.perf_counter()
        if done % CHECK_EVERY == 0 or done == recipe.steps:
            entry = {
                "step": done,
                "seconds": round(seconds + now - began, 1),
                "trained": jax.tree.map(lambda *values: float(np.mean(values)), *recent),
                **held_out_errors(params),
            }
            recent = []
            with log.open("a") as file:
                file.write(json.dumps(entry) + "\n")
            shown = " ".join(f"{n} {e['features']:.4f} {e['gram']:.5f}" for n, e in entry["held_out"].items())
            print(f"step {done}, {entry['seconds']:.0f} s, held-out errors: {shown}", flush=True)
        if now - last_saved > SAVE_SECONDS or done == recipe.steps:
            save(done)
            last_saved = now
    return export(params, directions, source)
