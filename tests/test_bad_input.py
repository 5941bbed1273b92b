"""Bad input through the command line: one line that says what was got, what was expected and the cure. And Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from acclimate.commands import main
from acclimate.models import load_backbone

SHORT = '[[stages]]\nscope = "head"\naugment = "none"\nsteps = 2\nlr = 0.01\n'
LONG = '[[stages]]\nscope = "all"\nsteps = 60\nbatch = 16\nlr = 0.001\n'


def call(*arguments: str | Path) -> tuple[int, str, str]:
    """Run a command in this process and return its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def complaint(*arguments: str | Path) -> str:
    """Return the one line on stderr of a command with bad input."""
    code, out, err = call(*arguments)
    assert (code, out) == (2, ""), err
    assert err.startswith("acclimate: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err.removeprefix("acclimate: ").rstrip("\n")


@pytest.fixture
def data(digits_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the digits that a test may spoil."""
    return Path(shutil.copytree(digits_folder, tmp_path / "data"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """Return a recipe of two steps."""
    path = tmp_path / "short.toml"
    path.write_text('name = "short"\n' + SHORT)
    return path


# images -------------------------------------------------------------------------------------------------------------

COMMANDS = ("tune", "adapt", "score", "embed")


def _out(command: str) -> list[str]:
    return {"embed": ["--out", "f.npz"], "score": []}.get(command, ["--out", "run"])


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_folder(command: str, model: str, here: Path) -> None:
    (here / "empty").mkdir()
    said = complaint(command, "empty", "--model", model, *_out(command))
    assert "no images in empty (nothing found); expected class folders with .jpg, .jpeg, .png" in said
    assert not (here / "run").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_no_such_folder(command: str, model: str, here: Path) -> None:
    said = complaint(command, "nowhere", "--model", model, *_out(command))
    assert said.startswith("no such file or folder: nowhere; expected a folder of class folders")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_name(command: str, model: str, digits_folder: Path, here: Path) -> None:
    assert "got an empty name of data; expected a folder" in complaint(command, "", "--model", model, *_out(command))
    said = complaint(command, digits_folder, "--model", "", *_out(command))
    assert "got an empty model name; expected zoo:NAME" in said


@pytest.mark.parametrize("command", ["tune", "score"])
def test_one_class_only(command: str, data: Path, model: str, here: Path) -> None:
    for part in ("train", "test"):
        for name in ("one", "two"):
            shutil.rmtree(data / part / name)
    said = complaint(command, data, "--model", model, *_out(command))
    assert "has one class only in train ('zero'); a classifier needs at least two: add images of another class" in said


def test_a_label_that_train_never_saw(data: Path, model: str, here: Path) -> None:
    shutil.copytree(data / "test" / "one", data / "test" / "seven")
    for arguments in (["tune", data, "--model", model], ["rank", data, "--models", f"{model},random:test_vit"]):
        said = complaint(*arguments)
        assert "test has 1 labels that train never saw: 'seven'; add training images of them, or remove them" in said


def test_no_labels_at_all(data: Path, model: str, here: Path) -> None:
    said = complaint("tune", data / "train" / "one", "--model", model)
    assert "has no labelled image to train on; give class folders or a manifest with labels" in said
    code, out, _ = call("embed", data / "train" / "one", "--model", model, "--out", "f.npz", "--json")
    assert (code, json.loads(out)["n"]) == (0, 24)


def _truncated(folder: Path, how_many: int) -> None:
    rng = np.random.default_rng(0)
    for k in range(how_many):
        file = folder / f"cut{k:02}.jpg"
        Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(file)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_truncated_jpegs_are_named_counted_and_left_out(data: Path, model: str, here: Path) -> None:
    _truncated(data / "train" / "one", 12)
    said = complaint("embed", data, "--model", model)
    assert "12 of 120 images of data cannot be read: train/one/cut00.jpg (damaged image: " in said
    assert "train/one/cut09.jpg" in said
    assert "cut10" not in said
    assert "; and 2 more. Repair or remove them, or leave them out with --skip-bad" in said
    code, out, err = call("embed", data, "--model", model, "--skip-bad")
    assert code == 0
    assert "108 images" in out
    assert "left out 12 unreadable files, the first: train/one/cut00.jpg" in err
    code, out, _ = call("check", data)
    assert code == 0
    assert "12 files cannot be read" in out
    assert "train/one/cut00.jpg" in out
    assert "and 2 more" in out
    assert len(json.loads(call("check", data, "--json")[1])["corrupt"]) == 12


def test_a_text_file_named_png(data: Path, model: str, here: Path) -> None:
    (data / "train" / "one" / "note.png").write_text("this is text")
    said = complaint("tune", data, "--model", model)
    assert "1 of 109 images of data cannot be read: train/one/note.png (not an image: it begins like none of" in said
    _, out, _ = call("check", data, "--json")
    assert len(json.loads(out)["corrupt"]) == 1


def test_nan_in_an_npz(model: str, here: Path) -> None:
    x = np.random.default_rng(0).random((12, 8, 8), dtype=np.float32)
    x[3, 1, 1] = np.nan
    np.savez("nan.npz", x_train=x, y_train=np.arange(12) % 2)
    said = complaint("embed", "nan.npz", "--model", model)
    assert said == "nan.npz: x_train holds NaN or infinity, first in image 3; remove it or fill it in"


def test_images_of_one_pixel_are_images(data: Path, model: str, here: Path) -> None:
    for mode in ("L", "RGB", "1"):
        Image.new(mode, (1, 1), 1).save(data / "train" / "one" / f"{mode}.png")
    Image.new("RGB", (1, 400), (9, 9, 9)).save(data / "train" / "one" / "line.png")
    code, out, _ = call("embed", data, "--model", model, "--json")
    assert (code, json.loads(out)["n"]) == (0, 112)
    code, out, _ = call("check", data, "--json")
    assert (code, json.loads(out)["corrupt"]) == (0, [])


def test_an_image_of_400_megapixels_is_refused_before_it_is_decoded(data: Path, model: str, here: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(data / "train" / "one" / "huge.png")
    said = complaint("embed", data, "--model", model)
    assert "train/one/huge.png (too large: 20,000 x 20,000 pixels, the limit is 200 megapixels; make it smaller" in said
    code, out, _ = call("embed", data, "--model", model, "--skip-bad", "--json")
    assert (code, json.loads(out)["n"]) == (0, 108)
    assert "too large" in json.loads(call("check", data, "--json")[1])["corrupt"][0]


# recipes, scopes, names ---------------------------------------------------------------------------------------------


def test_a_scope_that_matches_nothing(data: Path, model: str, here: Path) -> None:
    Path("none.toml").write_text('name = "none"\n' + SHORT.replace('"head"', '"re:no_such_layer"'))
    said = complaint("tune", data, "--model", model, "--recipe", "none.toml", "--out", "run")
    assert "scope 're:no_such_layer' matches no parameter of ResNet; expected a match among its " in said
    assert "such as 'conv1.0.weight'" in said
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text.replace("steps", "stps"), "unknown key 'stps'; did you mean 'steps'?"),
        (lambda text: text.replace('"head"', '"hed"'), "unknown scope term 'hed'; did you mean 'head'?"),
        (lambda text: text.replace("lr = 0.01", "lr = -1"), "stages.0.lr: Input should be greater than 0, got -1"),
        (lambda text: text + "epochs = 3\n", "a stage needs exactly one of 'epochs' and 'steps'"),
        (lambda text: text.replace("[[", "[", 1), "is not valid TOML"),
        (lambda text: "", "stages: Field required"),
    ],
)
def test_a_recipe_is_checked_before_the_first_image(
    spoil: Callable[[str], str], message: str, model: str, here: Path
) -> None:
    Path("bad.toml").write_text('name = "bad"\n' + spoil(SHORT))
    said = complaint("tune", "nowhere", "--model", model, "--recipe", "bad.toml")
    assert "recipe 'bad.toml'" in said
    assert message in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tune", "--recipe", "liner"], "unknown recipe 'liner'; did you mean 'linear'?"),
        (["tune", "--labels", "ten"], "cannot read 'ten' as a number of labels; expected a count a class such as 5"),
        (["tune", "--device", "gpu"], "unknown device 'gpu'; did you mean 'cpu'?"),
        (["tune", "--precision", "fp16"], "unknown precision 'fp16'; did you mean 'bf16'?"),
        (["score", "--score", "knnn"], "unknown score 'knnn'; did you mean 'knn'?"),
        (["adapt", "--method", "byo"], "unknown method 'byo'; did you mean 'byol'?"),
        (["adapt", "--method", "supervised"], "unknown method 'supervised'; expected one of: barlow, byol"),
        (["adapt", "--scope", "norms"], "unknown scope term 'norms'; did you mean 'norm'?"),
        (["adapt", "--scope", "head"], "scope 'head' leaves it nothing"),
        (["embed", "--out", "features.csv"], "got --out 'features.csv'; expected a file name that ends in .npz"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(
    arguments: list[str], message: str, digits_folder: Path, model: str, here: Path
) -> None:
    assert message in complaint(arguments[0], digits_folder, "--model", model, *arguments[1:])


def test_ranking_needs_two_different_models(digits_folder: Path, model: str, here: Path) -> None:
    said = complaint("rank", digits_folder, "--models", model)
    assert "got 1 model to rank; expected --models A,B,... with at least two, or --zoo" in said
    assert "twice; expected each model once" in complaint("rank", digits_folder, "--models", f"{model},{model}")


def test_unknown_families_formats_and_folders(here: Path, model: str) -> None:
    assert "unknown family 'supervise'; did you mean 'supervised'?" in complaint("models", "--family", "supervise")
    assert "unknown format 'onx'; did you mean 'onnx'?" in complaint("export", "run", "--format", "onx")
    assert "'run' holds no classifier; expected the folder of a finished run" in complaint("export", "run")
    assert "'run' holds no classifier" in complaint("predict", "run", "builtin:digits")
    assert "has no classifier; expected weights from 'acclimate tune'" in complaint("predict", model, "builtin:digits")
    assert "cannot report on 'run': no such folder" in complaint("report", "run")
    (here / "run").mkdir()
    assert "nothing to report in 'run'" in complaint("report", "run")
    assert list((here / "run").iterdir()) == []


def test_a_learning_rate_that_breaks_the_run_is_no_bad_input(digits_folder: Path, model: str, here: Path) -> None:
    wild = SHORT.replace("0.01", '1e38\noptimizer = "sgd"\nclip = 0').replace("steps = 2", "steps = 9")
    Path("wild.toml").write_text(f'name = "wild"\n{wild}', encoding="utf-8")
    code, out, err = call("tune", digits_folder, "--model", model, "--recipe", "wild.toml")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "the loss is inf at step " in err or "the loss is nan at step " in err
    assert "Lower 'lr' of that stage, or set 'clip'" in err


def test_an_adaptation_that_breaks_hands_back_the_start_model(digits_folder: Path, model: str, here: Path) -> None:
    arguments = ("--lr", "1e30", "--steps", "5", "--batch", "8", "--set", "head_steps=0", "--out", "run", "--json")
    code, out, err = call("adapt", digits_folder, "--model", model, *arguments)
    assert code == 0, err
    document = json.loads(out)
    assert document["kept"] == "start"
    assert any(told in document["reason"] for told in ("the loss was nan at step", "features are not finite"))


# adaptation ---------------------------------------------------------------------------------------------------------


def test_a_pool_smaller_than_the_batch(digits_folder: Path, model: str, here: Path) -> None:
    said = complaint("adapt", digits_folder, "--model", model, "--batch", "512")
    assert "a pool of 57 images and batches of 512; expected a batch no larger than the pool, such as 57" in said


def test_a_pool_of_equal_images(model: str, here: Path) -> None:
    np.savez("equal.npz", x_train=np.full((40, 32, 32, 3), 7, np.uint8))
    code, out, err = call("adapt", "equal.npz", "--model", model, "--steps", "2", "--out", "run")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("acclimate: all 40 images of the pool are equal; expected different images")


def test_corrupt_files_in_the_pool(digits_folder: Path, model: str, here: Path) -> None:
    """Named and counted; left out only where that was asked for."""
    flat = Path(shutil.copytree(digits_folder / "train" / "zero", here / "flat"))
    (flat / "broken.png").write_bytes(b"no image at all")
    said = complaint("adapt", flat, "--model", model, "--steps", "2", "--out", "run")
    assert "broken.png" in said
    code, out, err = call("adapt", flat, "--model", model, "--steps", "2", "--out", "run", "--skip-bad", "--json")
    assert code == 0, err
    assert json.loads(out)["images"]["pool"] == 24


def test_a_method_that_the_architecture_cannot_do(digits_folder: Path, model: str, here: Path) -> None:
    said = complaint("adapt", digits_folder, "--model", model, "--method", "mae")
    assert "ResNet" in said
    assert "vision transformer" in said
    said = complaint("adapt", digits_folder, "--model", "random:test_vit", "--method", "norm-stats")
    assert "batch norm" in said


def test_labels_that_are_not_wanted(digits_folder: Path, model: str, here: Path) -> None:
    """By default labels serve the probe, and that is said; asked not to, nothing of them is used."""
    arguments = ("adapt", digits_folder, "--model", model, "--steps", "2", "--batch", "8")
    code, _, err = call(*arguments, "--out", "seen")
    assert code == 0, err
    assert "57 labels serve a kNN probe that watches the run, and nothing else; --ignore-labels: none" in err
    code, out, err = call(*arguments, "--out", "blind", "--ignore-labels", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["monitors"]["adapted"]["knn_accuracy"] is None
    assert not any("knn_agreement" in look for look in document["looks"])


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("head_steps", "got --set 'head_steps'; expected NAME=VALUE, such as head_steps=0"),
        ("heads_step=3", "did you mean 'head_steps'"),
        ("strength=9", "strength"),
        ("ema=2", "ema"),
        ("steps=0", "steps: Input should be greater than or equal to 1"),
        ("batch=abc", "batch: Input should be a valid integer"),
        ("batch=true", "batch: expected a number or a word, got True"),
        ("lr=Infinity", "lr: Input should be a finite number"),
        ("head_steps=9999999", "leaves nothing of"),
    ],
)
def test_a_setting_that_cannot_be(setting: str, said: str, digits_folder: Path, model: str, here: Path) -> None:
    assert said in complaint("adapt", digits_folder, "--model", model, "--set", setting)


# weights ------------------------------------------------------------------------------------------------------------


def test_weights_of_another_architecture(digits_folder: Path, here: Path) -> None:
    other = load_backbone("random:test_efficientnet").module
    torch.save({name: tensor.contiguous() for name, tensor in other.state_dict().items()}, "other.pt")
    said = complaint("embed", digits_folder, "--model", "test_resnet@other.pt")
    assert "'other.pt' holds weights for another architecture than 'test_resnet': missing (" in said
    assert "conv1.0.weight" in said
    assert "unexpected (" in said
    assert "conv_stem.weight" in said


def test_weights_that_say_they_are_another_architecture(digits_folder: Path, model: str, here: Path) -> None:
    said = complaint("embed", digits_folder, "--model", f"test_vit@{model}")
    assert "says that it is for 'test_resnet', got 'test_vit'; give " in said


def test_damaged_and_missing_weights(digits_folder: Path, model: str, here: Path) -> None:
    content = Path(model).read_bytes()
    Path("cut.safetensors").write_bytes(content[: len(content) // 2])
    assert "cannot read weights from 'cut.safetensors': " in complaint(
        "tune", digits_folder, "--model", "cut.safetensors"
    )
    assert "weights file 'none.pt' does not exist" in complaint("tune", digits_folder, "--model", "none.pt")


def test_pretrained_weights_without_a_hub(digits_folder: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(here / "hub"))
    started = time.perf_counter()
    said = complaint("tune", digits_folder, "--model", "timm:resnet18.a1_in1k")
    assert "the model hub cannot be reached" in said
    assert "resnet18.a1_in1k@FILE" in said
    assert time.perf_counter() - started < 10


# disks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["file", "file/run"])
@pytest.mark.parametrize("command", ["tune", "adapt"])
def test_a_run_that_cannot_be_written(
    command: str, out: str, digits_folder: Path, model: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acclimate.training.stage.StageRun.run", lambda *_: pytest.fail("it trained first"))
    (here / "file").write_text("in the way")
    said = complaint(command, digits_folder, "--model", model, "--out", out)
    assert f"cannot write into '{out}': a file is in the way; expected a folder you may write to" in said
    assert "choose one with --out" in said


def test_a_folder_without_write_permission(
    digits_folder: Path, model: str, short: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.touch

    def refuse(path: Path, *rest: Any, **named: Any) -> None:
        if path.parent.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        real(path, *rest, **named)

    monkeypatch.setattr(Path, "touch", refuse)
    said = complaint("tune", digits_folder, "--model", model, "--recipe", short, "--out", "locked")
    assert "cannot write into 'locked': Permission denied; expected a folder you may write to" in said


def test_files_that_cannot_be_written_are_seen_before_the_work(
    digits_folder: Path, model: str, short: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("tune", digits_folder, "--model", model, "--recipe", short, "--out", "run")[0] == 0
    (here / "file").write_text("in the way")
    for name in ("models.extract", "models.classifier.decoded", "models.classifier.export_onnx"):
        monkeypatch.setattr(f"acclimate.{name}", lambda *_, **__: pytest.fail("it worked first"))
    way = "cannot write into 'file': a file is in the way"
    assert way in complaint("embed", digits_folder, "--model", model, "--out", "file/f.npz")
    assert way in complaint("predict", "run", digits_folder, "--out", "file/p.csv")
    assert way in complaint("export", "run", "--out", "file")
    assert way in complaint("export", "run", "--format", "onnx", "--out", "file/model.onnx")
    assert "expected a file name that ends in .csv" in complaint("predict", "run", digits_folder, "--out", "p.txt")
    assert "expected a file name that ends in .onnx" in complaint("export", "run", "--format", "onnx", "--out", "x")


def test_a_cache_that_cannot_be_written(digits_folder: Path, model: str, here: Path) -> None:
    (here / "file").write_text("in the way")
    said = complaint("embed", digits_folder, "--model", model, "--cache", "file/cache")
    assert "file/cache" in said
    assert "in the way" in said


def test_no_room_for_the_cache(digits_folder: Path, model: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(here)
    monkeypatch.setattr("acclimate.storage.store.shutil.disk_usage", lambda _: usage._replace(free=1000))
    said = complaint("embed", digits_folder, "--model", model)
    assert "not enough disk space: need 0." in said
    assert "ACCLIMATE_CACHE" in said


def test_no_room_for_the_run(
    digits_folder: Path, model: str, short: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def full(handle: int) -> None:
        if ".safetensors" in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    arguments = ["tune", digits_folder, "--model", model, "--recipe", short, "--out", "run"]
    assert "no space left to write run/weights.safetensors; free some space" in complaint(*arguments)
    assert not list((here / "run").glob("*.tmp"))
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert call(*arguments)[0] == 0, "the same command goes on when there is room again"


def test_an_error_of_the_disk_is_no_traceback(
    digits_folder: Path, model: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("acclimate.models.extract", full)
    said = complaint("embed", digits_folder, "--model", model)
    assert said == "cannot read or write to the disk: No space left on device; choose another place or make room"


def test_a_mistake_of_ours_is_not_hidden(digits_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("acclimate.images.load_images", broken)
    with pytest.raises(ZeroDivisionError):
        call("check", digits_folder)


# Ctrl-C -------------------------------------------------------------------------------------------------------------


def test_ctrl_c_outside_of_training_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("acclimate.images.load_images", stopped)
    code, out, err = call("check", "data")
    assert (code, out) == (130, "")
    assert err == "acclimate: stopped; what is finished is kept. Give the same command again to go on\n"


SLOW = """
import itertools, sys, time
from torch.optim.optimizer import register_optimizer_step_pre_hook
from acclimate.commands import main

steps = itertools.count()

def slowly(*_):
    if next(steps) == 3:
        print("training", flush=True)
    time.sleep(0.05)

register_optimizer_step_pre_hook(slowly)
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_while_tuning_loses_nothing(digits_folder: Path, model: str, here: Path, cache: Path) -> None:
    Path("long.toml").write_text('name = "long"\n' + LONG)
    arguments = ["tune", str(digits_folder), "--model", model, "--recipe", "long.toml", "--seed", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "ACCLIMATE_CACHE": str(cache)}
    command = [sys.executable, "-c", SLOW, *arguments, "--out", "run", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "training\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, ""), err
    assert err.count("\n") == 1
    assert "acclimate: stopped at step " in err
    assert "of 60 of stage 1; nothing is lost. Give the same command again to go on (run folder: 'run')" in err
    assert Path("run", "checkpoint.pt").is_file()
    assert not Path("run", "run.json").exists()
    said = complaint(*arguments[:-1], "4", "--out", "run")
    assert "'run' holds an unfinished run with another recipe, data, model or seed" in said
    assert call(*arguments, "--out", "run", "--json")[0] == 0
    assert call(*arguments, "--out", "whole", "--json")[0] == 0
    assert Path("run", "weights.safetensors").read_bytes() == Path("whole", "weights.safetensors").read_bytes()
