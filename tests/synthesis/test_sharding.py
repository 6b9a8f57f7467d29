"""One picture on several simulated devices against one device."""

import subprocess
import sys

import jax
import numpy as np
import pytest

import nstjax
from nstjax.synthesis import loss

PROGRAM = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", 4)
import numpy as np
import nstjax
from nstjax.losses import Objective
from nstjax.optim import Lbfgs
from nstjax.synthesis.loss import LossNetwork
from nstjax.losses import make_targets
from tests.helpers.networks import random_backbone

network = random_backbone(convs=3)
rng = np.random.default_rng(0)
photo, painting = (rng.uniform(size=(1, *size, 3)).astype(np.float32) for size in ((128, 80), (50, 60)))
images = []
for shard in (False, True):
    config = nstjax.TransferConfig(
        objective=Objective(("relu2_1",), ("relu1_1", "relu2_1"), style_weight=180.0, tv_weight=1.0),
        optimizer=Lbfgs(iterations=3), size=128, scales=(66, 128), shard=shard, pooling="average",
    )
    result = nstjax.transfer(photo, painting, network, config)
    images.append(result.image)
    print([round(entry.loss, 6) for entry in result.history])
# Rounding switches a ReLU here and there, in a few pixels by a step of 8 bits.
difference = np.abs(images[0] - images[1])
assert difference.mean() < 1e-4 and difference.max() < 0.02

# Maximum pooling, by one evaluation: along a descent rounding may switch which of four pixels is the largest.
found = []
for shard in (False, True):
    config = nstjax.TransferConfig(objective=config.objective, shard=shard)
    ready = LossNetwork(config, network)
    targets = make_targets(
        config.objective, ready.features(photo, ("relu2_1",)), ready.features(painting, ("relu1_1", "relu2_1"))
    )
    found.append(jax.jit(jax.value_and_grad(ready.loss(targets, (128, 80)), has_aux=True))(photo * 0.9))
np.testing.assert_allclose(found[0][0][0], found[1][0][0], rtol=1e-5)
np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-4 * float(abs(found[0][1]).max()))

# The network's activations are divided, and neighbours exchange rows.
ready = LossNetwork(config, network)
layers = config.objective.layers
targets = make_targets(
    config.objective, ready.features(photo, ("relu2_1",)), ready.features(painting, ("relu1_1", "relu2_1"))
)
fun = ready.loss(targets, (128, 80))
run = jax.jit(lambda f, x: jax.value_and_grad(f, has_aux=True)(x))
text = run.lower(fun, photo).compile().as_text()
assert "collective-permute" in text
assert "f32[1,32,80,64]" in text, "rows of relu1_1 on one of four devices"
assert "f32[1,128,80,64]" not in text, "no device has them all"
print("same")
"""


def test_four_devices_paint_what_one_does() -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-3000:]
    one, four, same = found.stdout.splitlines()
    assert same == "same"
    np.testing.assert_allclose(eval(one), eval(four), rtol=1e-4)  # lists that the program has printed


def test_rows_are_shared_evenly_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "devices", lambda: jax.local_devices() * 8)
    monkeypatch.setattr(loss, "Mesh", lambda devices, _: len(devices))
    monkeypatch.setattr(loss, "NamedSharding", lambda count, _: count)
    counts = {height: loss.rows_on_devices(height) for height in (512, 500, 509, 96, 40)}
    assert counts == {512: 8, 500: 5, 509: None, 96: 3, 40: None}


def test_tiles_and_shards_contradict_each_other() -> None:
    with pytest.raises(nstjax.InputError, match="`tile` and `shard`"):
        nstjax.TransferConfig(tile=64, shard=True)
