"""``nstjax export``: writes a trained generator as a StableHLO program or an ONNX model."""

from collections.abc import Sequence

from nstjax.cli.models import in_style, the_model
from nstjax.cli.options_stylize import ExportOptions
from nstjax.cli.parse import parse
from nstjax.cli.runtime import check_device
from nstjax.errors import InputError, within
from nstjax.files import check_replaceable
from nstjax.images.encode import check_place
from nstjax.inference import export_generator
from nstjax.inference.export import header_path
from nstjax.inference.onnx import export_onnx
from nstjax.inference.photograph import MAX_OUTPUT_SIDE

SUFFIX, ONNX = ".stablehlo", ".onnx"


def run_export(arguments: Sequence[str]) -> int:
    """Run ``nstjax export``.

    Args:
        arguments: the arguments after the command's name.

    Returns:
        The exit code.

    Raises:
        InputError: If the input is not valid, or the program's result differs from the generator's.
    """
    options = parse(ExportOptions, arguments, "nstjax export")
    output = options.output
    if output is None:
        raise InputError(f"-o is missing: name the file to write with -o OUT{SUFFIX}")
    if output.suffix not in (SUFFIX, ONNX):
        raise InputError(f"the output {output} must end in {SUFFIX} or {ONNX}")
    if output.suffix == ONNX and options.size is not None:
        raise InputError(f"--size does not go with {ONNX}, which takes any size: leave it out")
    for side in options.size or ():
        within("size", side, 1, MAX_OUTPUT_SIDE, " pixels")
    check_place(output)
    if output.suffix == SUFFIX:
        check_replaceable(header_path(output))
    check_device()
    generator = in_style(the_model(options.model), options.style, str(options.model))
    say = (lambda line: None) if options.quiet else print
    if output.suffix == ONNX:
        inputs = export_onnx(generator, output, say)["inputs"]
        shapes = ", ".join(f"{name} ({'×'.join(map(str, shape))})" for name, shape in inputs.items())
        say(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB): takes {shapes}")
        return 0
    header = export_generator(generator, output, options.size, say)
    shapes = ", ".join(f"{of['name']} ({'×'.join(of['shape'])})" for of in header["inputs"])
    say(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB) and {output.name}.json: takes {shapes}")
    return 0
