"""A table that people write by hand."""

import pytest

from mbrelease.errors import UserError
from mbrelease.evaluation.importers import csv_table as importer
from mbrelease.evaluation.reported import ReportSource

HEAD = "model,task,metric,value,split"


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "paper.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_all_columns_are_read(table):
    path = table(
        f"\ufeff{HEAD},seed,source,place,subset,n_examples,higher_is_better\n"
        "owls/base, find ,recall@1,0.41,test,2,https://example.org/p,Table 5,en,500,true\n"
        '"owls/base",cola,loss,2.5,dev,,"Owls, a paper",,,,\n'
    )
    first, second = importer.read(path)
    assert first.model == second.model == "owls/base"
    result = first.result
    assert (result.task_name, result.metric, result.value) == ("find", "recall_at_1", 0.41)
    assert (result.seed, result.subset, result.n_examples) == (2, "en", 500)
    assert result.source == ReportSource(url="https://example.org/p", place="Table 5")
    assert result.higher_is_better is True
    assert second.result.source == ReportSource(name="Owls, a paper")
    assert (second.result.seed, second.result.subset) == (None, "default")
    assert second.result.higher_is_better is False
    assert second.place.endswith("paper.csv:3")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("model,task,value\n", r"paper\.csv:1: no column metric, split"),
        (f"{HEAD},sead\n", r"paper\.csv:1: unknown column 'sead'\n  did you mean 'seed'"),
        (f"{HEAD},split\n", r"paper\.csv:1: column 'split' stands there twice"),
        (f"{HEAD}\na,b,c,1\n", r"paper\.csv:2: 4 values for 5 columns"),
        (f"{HEAD}\na,b,c,,dev\n", r"paper\.csv:2: no value"),
        (f"{HEAD}\na,b,c,76.9%,dev\n", r"paper\.csv:2: '76.9%' is not a finite number"),
        (f"{HEAD}\n\na,b,c,NaN,dev\n", r"paper\.csv:3: 'NaN' is not a finite number"),
        (f"{HEAD}\na,b,c,inf,dev\n", r"paper\.csv:2: 'inf' is not a finite number"),
        (f"{HEAD},seed\na,b,c,1,dev,-1\n", r"paper\.csv:2: seed is '-1', not a whole number"),
        (f"{HEAD},higher_is_better\na,b,c,1,dev,up\n", r"paper\.csv:2: higher_is_better is 'up'"),
        (f'{HEAD}\n"a"b,b,c,1,dev\n', r"paper\.csv:2: not CSV"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(table, text, said):
    with pytest.raises(UserError, match=said):
        importer.read(table(text))


def test_a_file_that_is_no_text_is_a_sentence(tmp_path):
    path = tmp_path / "paper.csv"
    path.write_bytes(b"model,task\n\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8 text"):
        importer.read(path)


def test_a_cell_of_several_lines_counts_as_its_last(table):
    path = table(f'{HEAD}\n"a\nb",t,m,1,dev\na,t,m,x,dev\n')
    with pytest.raises(UserError, match=r"paper\.csv:4: 'x'"):
        importer.read(path)


def test_a_source_may_have_a_url_and_a_name(table):
    head = f"{HEAD},source,source_name\n"
    rows = "a,b,c,1,dev,https://e.org/p,Owl (2024)\na,b,d,1,dev,,Owl (2024)\n"
    first, second = importer.read(table(head + rows))
    assert first.result.source == ReportSource("https://e.org/p", "Owl (2024)")
    assert second.result.source == ReportSource(name="Owl (2024)")
    with pytest.raises(UserError, match=r"paper\.csv:2: source and source_name both say"):
        importer.read(table(head + "a,b,c,1,dev,Owls,Owl (2024)\n"))
