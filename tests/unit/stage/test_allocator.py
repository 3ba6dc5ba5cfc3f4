"""What the C library keeps of freed memory."""

from __future__ import annotations

import platform
import resource

import pytest
import torch

from rise_stage.engine.allocator import keep_memory

BLOCK, TIMES = 8 * 2**20, 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library, which is not told")
def test_a_block_that_was_freed_is_used_again_without_page_faults() -> None:
    assert keep_memory()
    torch.ones(BLOCK // 4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(TIMES):
        torch.ones(BLOCK // 4)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < TIMES / 2 * BLOCK / resource.getpagesize()
