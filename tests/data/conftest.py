"""Files with signals of every kind, written once for the tests of a module."""

import pytest
from signal_files import KINDS


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    paths = {}
    for kind, (write, suffix, _, _) in KINDS.items():
        paths[kind] = folder / f"{kind}{suffix}"
        write(paths[kind])
    return paths
