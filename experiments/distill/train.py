"""Training of a student: fitted start, batches, training steps, log and checkpoints."""

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
from experiments.leaves import numbered, restored
from nstjax.checkpoints import Series
from nstjax.eight_bit import dequantize, quantize
from nstjax.errors import InputError
from nstjax.losses import gram_matrix
from nstjax.nn.student import init_student, make_student
from nstjax.typing import Backbone, Features, Params, Pooling

HELD_OUT = 48  # the last photographs, which are not used for training
MOMENT_BATCHES = 64  # batches of eight crops for the teacher's second moments with each pooling
FIT_BATCH = 8  # images in a batch of the fit and of the bases
BASIS_BATCHES = 24  # batches for the second moments of the student's inputs
OWN_STEPS = 480  # advances of groups of transfers for each refit
OWN_EVERY = (
    5  # every 5th advance gives a batch for the refit; coprime to GROUPS, so that all groups take part
)
RECENT = 250  # number of the newest batches that can be used again
FEWEST = 64  # batches that must exist before any is used again; with fewer the student would overfit to them
FAR = 10_000_000  # more than the steps of any training; batches for other purposes are numbered from here
SAVE_SECONDS = 180.0  # time between checkpoints
CHECK_EVERY = 250  # steps between entries of the log, with held-out errors
Errors = dict[str, dict[str, jax.Array]]  # {layer: {"features": (), "gram": ()}}


def _errors(
    params: Params, images: jax.Array, wanted: Features, power: Mapping[str, float], pooling: Pooling
) -> Errors:
    """Compute a student's errors at each layer.

    Args:
        params: weights of the student.
        images: ``(n, h, w, 3)``.
        wanted: targets of the heads, ``{layer: (n, h', w', k)}``.
        power: divisor of the error of activations by layer; see :func:`_powers`.
        pooling: pooling of the student.

    Returns:
        For each layer, the mean squared norm of the error of the activations divided by ``power`` as
        ``"features"``, and :func:`_gram_error` as ``"gram"``.
    """
    found = nstjax.features(make_student(params), images, tuple(wanted), pooling, padding="replicate")
    return {
        name: {
            "features": jnp.mean(jnp.sum((found[name] - wanted[name]) ** 2, -1)) / power[name],
            "gram": _gram_error(found[name], wanted[name]),
        }
        for name in wanted
    }


def _gram_error(found: jax.Array, wanted: jax.Array) -> jax.Array:
    """Compute the error of the Gram matrices: the mean over images of ``‖G − G*‖² / (‖G*‖² + m / 10)``.

    ``G`` is the student's Gram matrix of an image, ``G*`` that of the targets, and ``m`` the mean of
    ``‖G*‖²`` over the images. Without ``m``, dark images would dominate, because their ``‖G*‖²`` is about 0.

    The style loss of a transfer depends only on Gram matrices. In these, random errors of the activations
    cancel and systematic ones do not.

    Args:
        found: activations of the student, ``(n, h, w, k)``.
        wanted: targets, of the same shape.

    Returns:
        A scalar.
    """
    g, target = (gram_matrix(f, "positions") for f in (found, wanted))
    squared = jnp.sum(target**2, (1, 2))
    return jnp.mean(jnp.sum((g - target) ** 2, (1, 2)) / (squared + 0.1 * jnp.mean(squared)))


def make_step(
    optimizer: optax.GradientTransformation,
    gram_weight: float,
    power: Mapping[Pooling, Mapping[str, float]],
) -> Callable[..., tuple[Params, Any, Errors]]:
    """Return a compiled training step: ``step(params, state, images, wanted, pooling)``.

    The step returns the new weights, the new state of the optimizer, and the errors before the step. The loss
    is the sum over all layers of the error of the activations and ``gram_weight`` times the error of the Gram
    matrices.

    Args:
        optimizer: an Optax optimizer that does not use the weights.
        gram_weight: weight of the errors of Gram matrices.
        power: divisors of the errors of activations by pooling and layer; see :func:`_powers`.
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
    """A batch with its targets.

    Attributes:
        images: ``(n, CROP, CROP, 3)`` float32: crops, followed by iterates.
        wanted: targets of the heads, ``{layer: (n, h', w', k)}``, float16 to save memory.
        pooling: pooling of both networks.
    """

    images: jax.Array
    wanted: Features
    pooling: Pooling


class Lessons:
    """The batches of a training: new ones of crops and iterates, and recent ones to use again.

    The teacher's forward pass and the transfers take most of the time of a step with a new batch. The
    training therefore uses batches again.

    Args:
        recipe: settings of the distillation.
        teacher: VGG-19.
        crops: source of the content and style images of the transfers.
        directions: directions of the heads.

    Attributes:
        iterates: the transfers.
        recent: the newest ``RECENT`` batches.
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
        """Return a new batch with its targets: crops, then iterates of transfers with the current student.

        Args:
            number: number of the batch. It selects the transfers to advance and the pooling.
            batch: the crops, ``(n, CROP, CROP, 3)``.
            params: weights of the student.
        """
        images = jnp.asarray(batch)
        if self.recipe.iterates:
            images = jnp.concatenate([images, self.iterates.next(number, params)])
        pooling = self.recipe.pooling_of(number)
        lesson = Lesson(images, self._answer(self.teacher, images, self.directions, pooling=pooling), pooling)
        self.recent.append(lesson)
        return lesson

    def again(self, step: int) -> Lesson:
        """Return a random batch among the recent ones. The number of the step is part of the seed."""
        return self.recent[np.random.default_rng((self.recipe.seed, 3, step)).integers(len(self.recent))]


def export(params: Params, directions: Directions, source: str) -> Backbone:
    """Return a trained student as a feature network.

    Its heads have the units of the teacher's activations. Its weights have the values of the 8-bit form in
    which the network is stored.

    Args:
        params: weights of the student.
        directions: directions of its heads.
        source: description of the network's source.

    Raises:
        ArithmeticError: A weight is not finite, or a bias is too large for float16.
    """
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
    """Return the source of the training crops, and that of crops of the held-out photographs.

    The last ``HELD_OUT`` photographs are held out. All paintings are used for training.
    """
    kept, held = pictures.photographs[:-HELD_OUT], pictures.photographs[-HELD_OUT:]
    return (
        Crops(Pictures(kept, pictures.paintings), recipe.seed, recipe.painted),
        Crops(Pictures(held, ()), recipe.seed + 1),
    )


def every_layer(recipe: Recipe) -> tuple[str, ...]:
    """Return the names of the ReLUs after all convolutions of a recipe."""
    return tuple(f"relu{name.removeprefix('conv')}" for name in recipe.widths)


def kept_moments(
    path: Path, teacher: Backbone, crops: Crops, layers: tuple[str, ...], poolings: Iterable[Pooling]
) -> dict[Pooling, Moments]:
    """Return the teacher's second moments on training crops, and keep them in a file.

    If the file exists, the moments are read from it. A resumed training must have the same moments, because
    the heads of its student predict the activations in their directions.

    Args:
        path: the file, ``.npz``.
        teacher: VGG-19.
        crops: source of the crops.
        layers: names of the layers.
        poolings: poolings of the teacher.
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
    """Return the bases in which Adam works, and keep them in a file.

    If the file exists, the bases are read from it. A resumed training must have the same bases, because the
    saved state of Adam is in their coordinates.

    Args:
        path: the file, ``.npz``.
        params: weights of the student at the start of the training; not used if the file exists.
        crops: source of the crops.
        recipe: settings of the distillation.
    """
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
    """Yield batches of iterates of transfers with a student; see :mod:`experiments.distill.iterates`.

    Args:
        recipe: settings of the distillation.
        crops: source of the content and style images.
        params: weights of the student.
        refit: number of the refit, from 0; it is part of the seed.
    """
    iterates = Iterates(crops, FIT_BATCH)
    for i in range(OWN_STEPS):
        images = iterates.next(FAR * (3 + refit) + i, params)
        if i % OWN_EVERY == OWN_EVERY - 1:
            yield np.asarray(images), recipe.pooling_of(i // OWN_EVERY)


def fitted_start(
    recipe: Recipe, teacher: Backbone, crops: Crops, moments: Moments, directions: Directions
) -> Params:
    """Fit a student to crops, then ``recipe.refits`` times to crops and iterates of its own transfers.

    If there are refits, the first fit uses only a quarter of the batches.

    Args:
        recipe: settings of the distillation.
        teacher: VGG-19.
        crops: source of the crops.
        moments: the teacher's second moments at the ReLU after each convolution of the recipe.
        directions: directions of the heads.

    Returns:
        Weights of the student.
    """
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
    """Compute the mean squared norm of the teacher's activations by pooling and layer.

    It is relative to the layer's total in ``directions``, so its mean over the batches of all poolings is 1.
    """
    return {
        pooling: {name: float(np.trace(each[name]) / directions.total[name]) for name in directions.basis}
        for pooling, each in moments.items()
    }


def _check_same(folder: Path, facts: dict[str, Any]) -> None:
    """Check that a folder contains no other training, and write ``training.json`` if it contains none.

    Args:
        folder: folder of the training.
        facts: description of the recipe, the teacher and the pictures, for JSON.

    Raises:
        InputError: The folder contains a training with other facts.
    """
    path = folder / "training.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(facts, indent=1))
    elif json.loads(path.read_text()) != json.loads(json.dumps(facts)):
        raise InputError(
            f"{folder} holds a training by another recipe or on other pictures: choose another --name, or delete it"
        )


def train(recipe: Recipe, teacher: Backbone, pictures: Pictures, folder: Path, source: str) -> Backbone:
    """Train a student, or resume an interrupted training.

    An interrupted training resumes from its last checkpoint. The transfers (see
    :mod:`experiments.distill.iterates`) and the collection of recent batches start again, and new batches are
    numbered from the step of the checkpoint. The result is therefore not exactly that of an uninterrupted
    training, unless ``recipe.iterates`` and ``recipe.repeats`` are 0: then both are equal to the last bit.

    Args:
        recipe: settings of the distillation.
        teacher: VGG-19 at least to the deepest layer of the recipe.
        pictures: the pictures to train on. The last ``HELD_OUT`` photographs are held out.
        folder: folder for ``training.json``, the second moments, the bases, the checkpoints and
            ``log.jsonl``. If it contains a finished training with the same inputs, the student is not trained
            again.
        source: description of the network's source, for its record.

    Returns:
        The student as a feature network; see :func:`export`.

    Raises:
        InputError: There are not more than ``HELD_OUT`` photographs, the folder contains another training, or
            the teacher lacks a layer of the recipe.
        ArithmeticError: A trained weight is not finite, or a bias is too large for float16.
    """
    if len(pictures.photographs) <= HELD_OUT:
        raise InputError(
            f"there are {len(pictures.photographs)} photographs: more than {HELD_OUT} are needed"
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
        tree = numbered((params, state))
        series.save(step, tree, {"step": step, "seconds": seconds + time.perf_counter() - began})

    last_saved = time.perf_counter()
    if saved is not None:
        params, state = restored((params, state), saved[0])
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
    number = begun - 1  # of the newest batch; there is at most one new batch per step
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
                "trained": jax.tree.map(lambda *values: float(np.mean(values)), *recent) if recent else {},
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
