"""The estimate of a synthesis's memory, and the refusal made of it."""

import dataclasses

import jax
import pytest

import nstjax
from nstjax import TransferConfig
from nstjax.losses import Objective, window_loss
from nstjax.nn.vgg import values_per_pixel
from nstjax.optim import Adam, Lbfgs
from nstjax.synthesis import memory
from tests.helpers.networks import random_backbone

CONFIG = TransferConfig(
    objective=Objective(("relu2_1",), ("relu1_1", "relu2_1")), optimizer=Lbfgs(history_size=3)
)


def bytes_of(backbone: nstjax.Backbone, side: int, **changes: object) -> float:
    config = dataclasses.replace(CONFIG, size=side, **changes)
    return memory.transfer_bytes(config, backbone, side, side) - memory._BASE


def test_it_grows_with_the_picture_and_not_with_what_is_not_used(small: nstjax.Backbone) -> None:
    assert bytes_of(small, 2048) == pytest.approx(4 * bytes_of(small, 1024), rel=1e-6)
    assert bytes_of(random_backbone(convs=5), 1024) == bytes_of(small, 1024)
    deeper = dataclasses.replace(CONFIG.objective, style_layers=("relu3_1",))
    assert bytes_of(random_backbone(convs=5), 1024, objective=deeper) > bytes_of(small, 1024)


def test_tiles_and_fewer_pairs_take_less(small: nstjax.Backbone) -> None:
    whole = bytes_of(small, 4096)
    assert bytes_of(small, 4096, tile=512) < 0.5 * whole
    assert bytes_of(small, 4096, optimizer=Lbfgs(history_size=20)) > whole
    assert bytes_of(small, 4096, optimizer=Adam()) < whole


def test_a_large_painting_counts(small: nstjax.Backbone) -> None:
    alone = memory.transfer_bytes(CONFIG, small, 256, 256)
    assert memory.transfer_bytes(CONFIG, small, 256, 256, ((8192, 8192),)) > 4 * alone


def test_devices_share_what_is_not_a_picture(small: nstjax.Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(CONFIG, size=2048, shard=True)
    one, four = (memory.transfer_bytes(config, small, 2048, 2048, (), count) for count in (1, 4))
    activations = memory.OF_ACTIVATIONS * 4 * 2048**2 * values_per_pixel(small, ("relu2_1",))
    assert one - four == pytest.approx(0.75 * activations)
    assert memory.devices_sharing(config, 2048) == 1  # of this machine's CPU, however many it simulates

    class Rows:
        num_devices = 4

    monkeypatch.setattr(memory, "rows_on_devices", lambda height: Rows())
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert memory.devices_sharing(config, 2048) == 4
    assert memory.devices_sharing(CONFIG, 2048) == 1


def test_what_does_not_fit_is_refused_with_advice(
    small: nstjax.Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    painting = jax.numpy.zeros((1, 64, 64, 3))
    config = dataclasses.replace(CONFIG, size=4096, optimizer=Lbfgs())
    monkeypatch.setattr(memory, "device_bytes", lambda: 1e15)
    memory.check_transfer_memory(config, small, (300, 400), (painting,))
    monkeypatch.setattr(memory, "device_bytes", lambda: 2.0 * 2**30)
    with pytest.raises(
        nstjax.InputError,
        match=r"4096×3072 pixels needs about .* 2.0 GiB are free.*`tile` 512.*`history_size` 5",
    ):
        memory.check_transfer_memory(config, small, (300, 400), (painting,))
    windowed = dataclasses.replace(config, objective=dataclasses.replace(CONFIG.objective, window_weight=1.0))
    with pytest.raises(
        nstjax.InputError, match=r"are free: try `history_size` 5"
    ):  # no tiles with a window loss
        memory.check_transfer_memory(windowed, small, (300, 400), (painting,))
    fits = dataclasses.replace(config, size=256)
    memory.check_transfer_memory(fits, small, (300, 400), (painting,))


def test_there_is_some_memory() -> None:
    assert memory.device_bytes() > 2**26


def test_windows_take_the_memory_that_xla_asks_for(small: nstjax.Backbone) -> None:
    """Four copies of the Gram matrices of all cells of a layer."""
    shapes = jax.ShapeDtypeStruct((1, 64, 64, 128), "float32"), jax.ShapeDtypeStruct((1, 128, 128), "float32")
    loss = jax.jit(jax.value_and_grad(lambda f, target: window_loss(f, target, 8)))
    asked = loss.lower(*shapes).compile().memory_analysis().temp_size_in_bytes
    windowed = dataclasses.replace(CONFIG.objective, window_weight=1.0)
    estimate = bytes_of(small, 128, objective=windowed) - bytes_of(small, 128)
    assert estimate == pytest.approx(asked, rel=0.1)  # relu2_1 has 64² positions and 128 channels
