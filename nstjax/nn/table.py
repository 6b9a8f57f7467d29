"""Names and shapes of VGG's convolutions. This module can be imported without JAX."""

from nstjax.errors import one_of

CONVS_PER_BLOCK: dict[str, tuple[int, ...]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
CHANNELS_OF_BLOCK = (64, 128, 256, 512, 512)
FIRST_RELUS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""The first layer of each block, the style layers of Gatys et al. 2016."""
EMBEDDED = "embedded"  # a small network that imitates VGG-19 and uses its layer names; see nn/student.py


def conv_names(arch: str) -> tuple[str, ...]:
    """Return the names of an architecture's convolutions, shallow to deep: ``("conv1_1", "conv1_2", …)``.

    Args:
        arch: ``"vgg16"``, ``"vgg19"``, or ``"embedded"``, which has the names of VGG-19.

    Raises:
        InputError: If ``arch`` is none of these.
    """
    arch = "vgg19" if arch == EMBEDDED else arch
    one_of("arch", arch, (*CONVS_PER_BLOCK, EMBEDDED))
    blocks = enumerate(CONVS_PER_BLOCK[arch], start=1)
    return tuple(f"conv{block}_{i}" for block, count in blocks for i in range(1, count + 1))


def kernel_shape(conv: str) -> tuple[int, int, int, int]:
    """Return the HWIO shape of a convolution's kernel, which is the same in VGG-16 and VGG-19.

    Args:
        conv: name of the convolution, such as ``"conv3_1"``.
    """
    block, index = (int(part) for part in conv.removeprefix("conv").split("_"))
    channels_out = CHANNELS_OF_BLOCK[block - 1]
    if index > 1:
        return 3, 3, channels_out, channels_out
    return 3, 3, (3 if block == 1 else CHANNELS_OF_BLOCK[block - 2]), channels_out


def layer_names(arch: str, convs: int | None = None) -> tuple[str, ...]:
    """Return the names of the layers that the first ``convs`` convolutions give, shallow to deep.

    ``conv4_2`` is before the ReLU, ``relu4_2`` after it, and ``pool4`` after the pooling of the block.

    Args:
        arch: ``"vgg16"``, ``"vgg19"`` or ``"embedded"``.
        convs: number of convolutions; None for all.

    Raises:
        InputError: If ``arch`` is unknown.
    """
    names = conv_names(arch)
    present = names if convs is None else names[:convs]
    layers: list[str] = []
    for i, conv in enumerate(present):
        suffix = conv.removeprefix("conv")
        layers += [conv, f"relu{suffix}"]
        block = suffix.split("_")[0]
        if i + 1 == len(names) or not names[i + 1].startswith(f"conv{block}_"):
            layers.append(f"pool{block}")
    return tuple(layers)
