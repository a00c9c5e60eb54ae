"""What the serving process holds in memory."""

import subprocess
import sys


def test_the_service_brings_nothing_that_only_training_needs() -> None:
    script = (
        "import sys, foodex.services.ml.app, foodex.services.ml.client\n"
        "heavy = ('lightgbm', 'sklearn', 'onnx', 'scipy', 'pandas', 'h3', 'alembic', 'chdb')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
