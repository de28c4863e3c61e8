"""What imports bring with them and what they leave alone; in one process, as each takes seconds to import torch."""

import os
import subprocess
import sys
from pathlib import Path

from tiny import write_tiny_model

import c2srt_cli

HEAVY = "{'torch', 'open_clip', 'huggingface_hub', 'pandas', 'openai', 'numpy'}"


def test_in_a_process_of_their_own(tmp_path: Path) -> None:
    steps = {
        "names are cheap": (
            "import os, sys; environment = dict(os.environ); import c2srt_cli\n"
            f"assert not {HEAVY} & sys.modules.keys()\n"
            "assert set(c2srt_cli.__all__) <= set(dir(c2srt_cli))\n"
            "from c2srt_cli.backbone import names\n"
            "names.fetched(), names.home(), names.has_mini()\n"
            "assert not {'torch', 'open_clip', 'huggingface_hub'} & sys.modules.keys()\n"
        ),
        "the Python API changes nothing": (
            "import pkgutil, warnings, logging, torch, open_clip, huggingface_hub.constants as hub\n"
            "from PIL import Image\n"
            "def state(): return (dict(os.environ), hub.HF_HUB_OFFLINE, torch.get_num_threads(),"
            " Image.MAX_IMAGE_PIXELS, torch.nn.Module.register_parameter,"
            " list(logging.getLogger('PIL').handlers), list(warnings.filters))\n"
            "before = state()\n"
            "c2srt_cli.Tagger\n"
            "assert dict(os.environ) == environment\n"
            "import c2srt_cli.api\n"
            "assert 'c2srt_cli.memory' not in sys.modules\n"  # what it does is the command line's alone
        ),
        "loading needs no network": (
            "import socket\n"
            "open_ones = socket.socket.connect, socket.create_connection, socket.getaddrinfo\n"
            "def refuse(*_, **__): raise AssertionError('network')\n"
            "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
            "from c2srt_cli.backbone.registry import load_backbone\n"
            f"load_backbone({write_tiny_model(tmp_path / 'm')!r}).embed_texts(['cat'])\n"
            "socket.socket.connect, socket.create_connection, socket.getaddrinfo = open_ones\n"
        ),
        "labels without a graph do not wait for PyTorch Geometric": (
            "import numpy as np, c2srt_cli.training.train\n"
            "from c2srt_cli.methods.registry import METHODS\n"
            "from c2srt_cli.methods.vocabulary import Vocabulary\n"
            "[METHODS[name] for name in METHODS]\n"
            "Vocabulary(torch.eye(3), None, np.ones(3, bool), 2).of(np.arange(2))\n"
            "assert 'torch_geometric' not in sys.modules\n"
            "import c2srt_cli.graph.geometric\n"
            "assert 'torch_geometric' in sys.modules\n"
        ),
        "no module changes anything": (
            "for module in pkgutil.walk_packages(c2srt_cli.__path__, 'c2srt_cli.'):\n"
            "    if not module.name.endswith('__main__'): __import__(module.name)\n"
            "assert state() == before, (state(), before)\n"
        ),
    }
    code = "".join(f"# {name}\n{step}print({name!r})\n" for name, step in steps.items())
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environment["PYTHONPATH"] = str(Path(c2srt_cli.__file__).parent.parent)
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )
    assert (found.stdout.splitlines(), found.stderr) == ([*steps], "")
