"""Annotations as tables: exported and imported again, with any separator, and by way of Excel."""

import codecs
import csv
import io

import numpy as np
import pytest

from tests.server.page.saving import saving


def test_annotations_are_exported_and_imported_as_csv(server, scans, ask):
    for name in ("lps", "ras"):
        ask(f"images/{name}/annotations", "POST", 201, json=saving(scans[name]))
    x, y, z = scans["lps"].centre + np.array([4, 5, 6])
    table = ask("annotations.csv").content
    again = ask("annotations.csv", "POST", files={"file": ("table.csv", table)}).json()
    assert again["recorded"] == 0 and again["known"] == len(table.splitlines()) - 1
    lines = ["image,cancer_type,x,y,z", f"lps,oesophagus,{x},{y},{z}", "nobody,lung,1,1,1", "ras,liver,1,1,1"]
    rows = "\n".join([*lines, "ras,lung,9000,0,0", "ras,lung,a,b,c", "ras,lung,-160,120,-250"])
    told = ask("annotations.csv?annotator=Eve", "POST", files={"file": ("table.csv", rows)}).json()
    assert (told["recorded"], told["superseded"], len(told["refused"])) == (1, 1, 5)
    said = ("not in the datastore", "'liver' is not one of", "outside", "not three numbers", "nothing stands out")
    for number, words in enumerate(said):
        assert told["refused"][number].startswith(f"row {number + 3}: ") and words in told["refused"][number]
    seed = server.seeds("lps")[-1]
    assert (seed["user"], seed["cancer_type"]) == ("Eve", "oesophagus")
    np.testing.assert_allclose(seed["position"], (x, y, z), atol=0.01)
    assert b"seed,lps,lung" in ask("annotations.csv?history=true").content


def test_a_name_that_is_a_formula_is_text_in_the_table_and_comes_back(server, scans, ask):
    name = '=HYPERLINK("http://evil.example")'
    ask("images/anisotropic/annotations", "POST", 201, json=saving(scans["anisotropic"], annotator=name))
    table = ask("annotations.csv").content
    (row,) = (row for row in csv.DictReader(io.StringIO(table.decode())) if row["image"] == "anisotropic")
    assert row["user"] == f"'{name}"
    assert float(row["x"]) == pytest.approx(scans["anisotropic"].centre[0], abs=1)
    assert ask("annotations.csv", "POST", files={"file": ("table.csv", table)}).json()["recorded"] == 0
    assert server.seeds("anisotropic")[-1]["user"] == name


def test_a_table_saved_by_excel_is_imported(server, scans, ask):
    x, y, z = (f"{v:.1f}".replace(".", ",") for v in scans["permuted"].centre)
    rows = f"image;cancer_type;x;y;z;user;time\r\npermuted;lung;{x};{y};{z};'=anna;\r\n".encode("utf-8-sig")
    told = ask("annotations.csv", "POST", files={"file": ("excel.csv", rows)}).json()
    assert (told["recorded"], told["refused"]) == (1, [])
    seed = server.seeds("permuted")[-1]
    np.testing.assert_allclose(seed["position"], scans["permuted"].centre, atol=0.1)
    assert seed["user"] == "=anna"
    assert b",'=anna," in ask("annotations.csv").content  # no formula in a spreadsheet
    assert (
        ask("annotations.csv", "POST", files={"file": ("excel.csv", ask("annotations.csv").content)}).json()["recorded"]
        == 0
    )


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_clicks_are_the_same_after_a_way_through_any_table(scans, ask, separator):
    ask("images/oblique/annotations", "POST", 201, json=saving(scans["oblique"]))
    content = ask("annotations.csv", params={"separator": separator}).content
    header = separator.join(("image", "cancer_type", "x"))
    assert content.decode("utf-8-sig").startswith(header)
    assert content.startswith(codecs.BOM_UTF8) is (separator == ";")
    told = ask("annotations.csv", "POST", files={"file": ("clicks.csv", content)}).json()
    assert (told["recorded"], told["superseded"], told["refused"]) == (0, 0, []) and told["known"] > 0
