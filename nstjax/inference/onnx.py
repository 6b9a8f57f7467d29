"""Exports a generator as an ONNX model, made from the steps of its plan."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nstjax.errors import InputError
from nstjax.files import write_atomically
from nstjax.generators import config_to_json, draw_noise, generate
from nstjax.generators.norm import EPSILON
from nstjax.generators.plan import LayerStep
from nstjax.generators.steps import GRAY, MEAN, REACH
from nstjax.generators.store import Generator
from nstjax.generators.styles import one_style
from nstjax.inference.export import SMALLEST_SIDE, TOLERANCE

OPSET, IR_VERSION = 19, 9  # opset 19 has Pad with mode "wrap"; onnxruntime reads both from version 1.16 on
CHECKED_SIDES = (
    (64, 96),
    (80, 64),
)  # approximate heights and widths of the images with which the model is checked
_PAD_MODES = {"reflect": "reflect", "zeros": "constant", "circular": "wrap"}


class _Graph:
    """The nodes and constants of an ONNX graph. Images are ``(n, c, h, w)`` inside it."""

    def __init__(self, helper: Any, numpy_helper: Any) -> None:
        self._helper, self._numpy_helper = helper, numpy_helper
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant; return its name."""
        self.constants.append(self._numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        self.nodes.append(self._helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def step(self, step: LayerStep, params: dict[str, Any], running: dict[str, Any]) -> None:
        """Add the nodes of one step, whose output has the name of the step.

        Args:
            step: a step of the plan.
            params: its weights.
            running: running mean and variance of a batch normalization; empty for an instance normalization.
        """
        name, sources = step.name, list(step.sources)
        if step.op == "center":
            mean = self.constant(f"{name}/mean", np.reshape(MEAN, (1, 3, 1, 1)))
            self.node("Sub", [sources[0], mean], name)
        elif step.op == "concat":
            self.node("Concat", sources, name, axis=1)
        elif step.op == "add":
            self.node("Add", sources, name)
        elif step.op == "relu":
            if step.slope:
                self.node("LeakyRelu", sources, name, alpha=step.slope)
            else:
                self.node("Relu", sources, name)
        elif step.op == "pool":
            self.node("AveragePool", sources, name, kernel_shape=[step.stride] * 2, strides=[step.stride] * 2)
        elif step.op == "upsample":
            self._upsample(sources[0], name, "nearest")
        elif step.op == "scale":
            scale, bias = (
                self.constant(f"{name}/{key}", np.reshape(params[key], (1, -1, 1, 1)))
                for key in ("scale", "bias")
            )
            self.node("Add", [self.node("Mul", [sources[0], scale], f"{name}/scaled"), bias], name)
        elif step.op == "norm":
            weights = [self.constant(f"{name}/{key}", params[key]) for key in ("scale", "bias")]
            if running:
                weights += [self.constant(f"{name}/{key}", running[key]) for key in ("mean", "var")]
                self.node("BatchNormalization", [sources[0], *weights], name, epsilon=EPSILON)
            else:
                self.node("InstanceNormalization", [sources[0], *weights], name, epsilon=EPSILON)
        elif step.op == "picture":
            self._picture(step)
        else:
            self._conv(step, params)

    def _upsample(self, source: str, name: str, how: str) -> str:
        scales = self.constant(f"{name}/scales", [1, 1, 2, 2])
        if how == "nearest":
            modes = {
                "mode": "nearest",
                "nearest_mode": "floor",
                "coordinate_transformation_mode": "asymmetric",
            }
        else:
            modes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        return self.node("Resize", [source, "", scales], name, **modes)

    def _conv(self, step: LayerStep, params: dict[str, Any]) -> None:
        name, x = step.name, step.sources[0]
        kernel = np.asarray(params["kernel"], np.float32)  # (h, w, in, out)
        bias = [self.constant(f"{name}/bias", params["bias"])] if step.bias else []
        if step.upsampling == "transposed":
            weights = self.constant(f"{name}/kernel", kernel.transpose(2, 3, 0, 1))
            sizes = {"strides": [2, 2], "pads": [1] * 4, "output_padding": [1, 1]}
            self.node("ConvTranspose", [x, weights, *bias], name, **sizes)
            return
        if step.upsampling:
            x = self._upsample(x, f"{name}/larger", step.upsampling)
        half = step.kernel // 2
        if half:
            pads = self.constant(f"{name}/pads", [0, 0, half, half] * 2, np.int64)
            x = self.node("Pad", [x, pads], f"{name}/padded", mode=_PAD_MODES[step.padding])
        weights = self.constant(f"{name}/kernel", kernel.transpose(3, 2, 0, 1))
        self.node("Conv", [x, weights, *bias], name, strides=[step.stride] * 2)

    def _picture(self, step: LayerStep) -> None:
        x, name = step.sources[0], step.name
        if step.output == "tanh":
            x = self.node("Tanh", [x], f"{name}/tanh")
            x = self.node("Mul", [x, self.constant(f"{name}/reach", REACH)], f"{name}/scaled")
        x = self.node("Add", [x, self.constant(f"{name}/gray", GRAY)], f"{name}/sum")
        self.node("Clip", [x, self.constant(f"{name}/least", 0), self.constant(f"{name}/most", 1)], name)


def onnx_model(generator: Generator) -> Any:
    """Return a generator as an ONNX model.

    Its inputs are ``image``, ``(n, h, w, 3)`` float32, sRGB in [0, 1], unless the generator makes textures, and, for
    a generator with noise, ``noise0``, ``noise1``, …: ``(n, h / 2^k, w / 2^k, c)``, uniform in [0, 1], where ``c`` is
    3 for Ulyanov's network and the field ``noise`` for Johnson's. Height and width are multiples of
    ``2^downsamplings`` for Johnson's network and of ``2^(scales − 1)`` for Ulyanov's. Its output ``picture`` is
    ``(n, h, w, 3)``, clipped to [0, 1]. Its metadata has this number as ``multiple``, three times it as ``least_side``, the least height and
    width, and the generator's config.

    Args:
        generator: a generator of one style.

    Returns:
        An ``onnx.ModelProto``.

    Raises:
        InputError: If the generator has several styles, or the package onnx is not installed.
    """
    onnx = _onnx()
    helper, numpy_helper, kind = onnx.helper, onnx.numpy_helper, onnx.TensorProto.FLOAT
    plan = one_style(generator).config.plan()
    graph = _Graph(helper, numpy_helper)
    inputs = []
    for name, channels in plan.inputs:
        level = plan.levels()[name]
        sides = [f"{side}_{2**level}" if level else side for side in ("height", "width")]
        inputs.append(helper.make_tensor_value_info(name, kind, ["n", *sides, channels]))
    outer = {name: f"{name}/nchw" for name, _ in plan.inputs}
    for name, inner in outer.items():
        graph.node("Transpose", [name], inner, perm=[0, 3, 1, 2])
    params = jax.tree.map(np.asarray, dict(generator.variables["params"]))
    running = jax.tree.map(np.asarray, dict(generator.variables.get("batch_stats") or {}))
    for step in plan.steps:
        sources = tuple(outer.get(name, name) for name in step.sources)
        renamed = LayerStep(**{**vars(step), "sources": sources, "name": f"{step.name}/nchw"})
        graph.step(renamed, params.get(step.name, {}), running.get(step.name, {}))
        outer[step.name] = renamed.name
    graph.node("Transpose", [outer[plan.steps[-1].name]], "picture", perm=[0, 2, 3, 1])
    output = helper.make_tensor_value_info("picture", kind, ["n", "height", "width", 3])
    made = helper.make_graph(graph.nodes, "generator", inputs, [output], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="nstjax")
    model.ir_version = IR_VERSION
    facts = {
        "multiple": plan.multiple,
        "least_side": SMALLEST_SIDE * plan.multiple,
        "generator": config_to_json(generator.config),
    }
    helper.set_model_props(model, {"nstjax": json.dumps(facts)})
    onnx.checker.check_model(model)
    return model


def _onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise InputError("export to .onnx needs the package onnx: pip install 'nstjax[onnx]'") from error
    return onnx


def _difference(generator: Generator, model: Any) -> float | None:
    """Return the largest difference between onnxruntime's results and the generator's; None without onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    config, largest, rng = generator.config, 0.0, np.random.default_rng(0)
    multiple = config.plan().multiple
    for size in CHECKED_SIDES:
        height, width = (-(-side // multiple) * multiple for side in size)
        noise = draw_noise(config, jax.random.key(0)[None], height, width)
        image = rng.uniform(size=(1, height, width, 3)).astype(np.float32) if config.content else None
        own = generate(config, generator.variables, image, noise, size=(height, width))
        inputs = {f"noise{k}": np.asarray(z) for k, z in enumerate(noise)}
        if image is not None:
            inputs["image"] = image
        found = session.run(None, inputs)[0]
        largest = max(largest, float(np.abs(found - np.asarray(own).clip(0, 1)).max()))
    return largest


def export_onnx(
    generator: Generator, path: str | Path, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Write a generator as an ONNX model for images of any size; see :func:`onnx_model`.

    If onnxruntime is installed, its results for random images are compared with the generator's before the file is
    written.

    Args:
        generator: a generator of one style.
        path: the file to write.
        say: called with a message about the comparison.

    Returns:
        Names and shapes of the inputs, and the largest difference (None if it was not measured).

    Raises:
        InputError: If the generator has several styles, the package onnx is not installed, or the model's results
            differ from the generator's.
        OutputError: If the file cannot be written.
    """
    model = onnx_model(generator)
    difference = _difference(generator, model)
    if difference is None:
        say("not compared with the generator: onnxruntime is not installed (pip install 'nstjax[onnx]')")
    elif not difference <= TOLERANCE:  # NaN too
        raise InputError(
            f"the ONNX model differs from the generator by {difference:.2g}: nothing was written; check the "
            f"model's weights for NaN"
        )
    else:
        say(f"checked with onnxruntime: pictures differ from the generator's by {difference:.1g} at most")
    write_atomically(Path(path), model.SerializeToString())
    shapes = {
        of.name: [one.dim_param or one.dim_value for one in of.type.tensor_type.shape.dim]
        for of in model.graph.input
    }
    return {"inputs": shapes, "largest_difference": difference}
