"""The model that `foresight.py` rests on, beside what the daemon plans: no engine is asked."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.blobs import BlobStore
from cache.digest import Digest
from daemon.builds import ImageRequest
from tests.caching.mill import PROJECT
from tests.caching.seasons import BINARY, HEDGE, Change, State
from tests.caching.test_workspace_machine import OF_DEPENDENCIES, OF_THE_TREE
from tests.fakes.rust_projects import planned


@pytest.mark.parametrize("project", [PROJECT, HEDGE])
def test_two_states_have_one_exact_key_if_the_model_says_so(tmp_path: Path, project: str):
    blobs = BlobStore(tmp_path)
    keys: dict[tuple[str, ...], Digest] = {}

    @settings(derandomize=True, max_examples=150)
    @given(st.lists(OF_THE_TREE, max_size=2), st.sets(OF_DEPENDENCIES, max_size=5))
    def of_any_state(of_the_tree: list[Change], of_dependencies: set[Change]) -> None:
        state = State(project=project).changed([*of_the_tree, *sorted(of_dependencies)])
        plan = planned(blobs, state.files(), project=project, images=(ImageRequest(binary=BINARY[project]),)).plan
        assert keys.setdefault(state.exact(), plan.exact.digest) == plan.exact.digest
        assert plan.dependencies == len(state.units())
        assert set(plan.members) == state.members()

    of_any_state()
    assert len(set(keys.values())) == len(keys) > 10
