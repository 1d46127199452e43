"""`wslpet train`: options that a training does not have."""

from __future__ import annotations

from wslpet.cli.main import main


def test_options_that_the_training_on_mips_does_not_have_are_named_as_they_were_typed(tmp_path, capsys):
    (tmp_path / "cohort.csv").write_text("image,cancer_type,click_x,click_y\na,lung,3,4\n")
    (tmp_path / "images").mkdir()
    model = tmp_path / "model.pt"
    assert main(["train", str(tmp_path), "--out", str(model), "--epochs", "3", "--seed", "1", "--from", "x.pt"]) == 2
    assert "--epochs, --seed, --from: the training on MIPs has no such option" in capsys.readouterr().err
    assert not model.exists()
