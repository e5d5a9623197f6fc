"""The training notebook: stored without outputs, and runs from the first cell to the last."""

import os
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "training" / "train_and_evaluate.ipynb"


def test_notebook_has_no_outputs():
    import nbformat

    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


@pytest.mark.slow
def test_notebook_trains_a_model(tiny_ravdess, tiny_tess, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    model, reports = tmp_path / "models" / "mine", tmp_path / "reports"
    settings = {"RAVDESS": tiny_ravdess, "TESS": tiny_tess, "MODEL": model, "REPORTS": reports}
    for name, value in {**settings, "EPOCHS": 1, "BATCH": 16}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(NOTEBOOK.parents[1]), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=None, startup_timeout=1000, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3
    assert (model / "network.onnx").is_file() and (reports / "learning_curves.png").is_file()
