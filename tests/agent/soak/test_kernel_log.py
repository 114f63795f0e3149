"""GPU errors in the kernel's log, from real lines; only those of the trial, each once; unknown is None."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.device_double import Programs, make_context
from thorctl.agent.soak.kernel_log import MOST_LINES, KernelLog

if TYPE_CHECKING:
    from pathlib import Path

XID = "NVRM: Xid (PCI:0000:01:00): 43, pid=4711, name=VLLM::EngineCor, Ch 00000008"
NVGPU = (
    "nvgpu: 17000000.gpu     nvgpu_set_err_notifier_locked:143  [ERR]  error notifier set to 31 for ch 479"
)


def lines(*messages: object, at: int = 2000, facility: str = "0") -> str:
    entries = [
        {
            "__CURSOR": f"s=1;i={number}",
            "__MONOTONIC_TIMESTAMP": str(at + number),
            "MESSAGE": message,
            "SYSLOG_FACILITY": facility,
        }
        for number, message in enumerate(messages)
    ]
    return "\n".join(json.dumps(entry) for entry in entries)


@pytest.mark.parametrize(
    "message",
    [
        XID,
        "NVRM: Xid (PCI:0000:04:00): 79, GPU has fallen off the bus.",
        "NVRM: GPU0 Xid (PCI:0000:01:00): 31, MMU Fault: ENGINE GRAPHICS",
        "NVRM: Xid (PCI:0000:01:00 GPU-I:01 GPU-CI:00): 94, pid='<unknown>', name=<unknown>, Contained",
        NVGPU,
        "nvgpu: 17000000.gpu       nvgpu_tsg_set_ctx_mmu_error:1069 [ERR]  TSG 8 generated a mmu fault",
        "nvgpu: 17000000.gpu gv11b_fb_mmu_fault_info_dump:294  [ERR]  [MMU FAULT] mmu engine id:  18",
        "nvgpu: 17000000.gpu nvgpu_rc_mmu_fault_recovery:399  [ERR]  mmu fault id=8 id_type=1",
    ],
)
def test_gpu_errors_are_found(tmp_path: Path, message: str) -> None:
    ctx = make_context(tmp_path, Programs({"journalctl": lines("eth0: link up", message)}))
    assert KernelLog(ctx, 1000).read() == [message]


@pytest.mark.parametrize(
    "message",
    [
        "NVRM: loading NVIDIA UNIX Open Kernel Module for aarch64  580.00",
        "NVRM: GPU at PCI:0000:01:00: GPU-00000000-0000-0000-0000-000000000000",
        "nvgpu: 17000000.gpu railgate is enabled",
        "xid 7 of NFS: server not responding",
        None,
        7,
    ],
)
def test_other_lines_are_none(tmp_path: Path, message: object) -> None:
    ctx = make_context(tmp_path, Programs({"journalctl": lines(message)}))
    assert KernelLog(ctx, 1000).read() == []


# What a local user can have the kernel print: process names of 15 characters at the start, more text later.
@pytest.mark.parametrize(
    "message",
    [
        "NVRM: Xid (PCI:[4711]: segfault at 0 ip 0000aaaac0de sp 0000ffff0000 error 4 in a[aaaa0000+1000]",
        "NVRM: GPU0 Xid [4711]: unhandled exception: SP/PC alignment, ESR 0x0 in Xid (PCI:0000:01:00): 43, x",
        "NVRM: Xid (PCI:: page allocation failure: order:0, mode:0x40",
        f"Out of memory: Killed process 4711 ({XID}) total-vm:1kB, anon-rss:1kB",
        f"process '/tmp/{XID}' started with executable stack",
        f"audit: type=1326 audit(1.0:1): comm={XID}",
        f"usb 1-1: Product: {XID}",
        f"x\n{XID}",
        "NVRM: GPU 0000:01:00.0: killed by name=Xid",
        "nvgpu: 1.gpu a:[4711]: segfault at 0 in mmu fault[aaaa0000+1000]",
        "nvgpu: a b:1 [E[4711]: segfault at 0 in error notifier set to 31 for ch 479[aaaa0000+1000]",
        f"Out of memory: Killed process 4711 ({NVGPU}) total-vm:1kB",
        "nvgpu: 17000000.gpu  nvgpu_channel_open:99 [ERR]  no channel for error notifier set to 31",
        [300],
        [XID],
    ],
)
def test_text_of_a_local_process_is_no_gpu_error(tmp_path: Path, message: object) -> None:
    ctx = make_context(tmp_path, Programs({"journalctl": lines(message)}))
    assert KernelLog(ctx, 1000).read() == []


def test_lines_that_a_program_wrote_to_kmsg_are_not_the_driver(tmp_path: Path) -> None:
    ctx = make_context(tmp_path, Programs({"journalctl": lines(XID, facility="1")}))
    assert KernelLog(ctx, 1000).read() == []


def test_errors_before_the_trial_are_not_its_own(tmp_path: Path) -> None:
    ctx = make_context(tmp_path, Programs({"journalctl": lines(XID, NVGPU, at=999)}))
    assert KernelLog(ctx, 1000).read() == [NVGPU]


def test_each_line_is_read_once_and_few_are_kept(tmp_path: Path) -> None:
    programs = Programs({"journalctl": lines(*[XID] * 50)})
    log = KernelLog(make_context(tmp_path, programs), 1000)
    assert len(log.read() or ()) == MOST_LINES
    assert "--after-cursor=s=1;i=49" not in programs.calls[0]
    programs.answers["journalctl"] = ""
    assert len(log.read() or ()) == MOST_LINES
    assert "--after-cursor=s=1;i=49" in programs.calls[1]


def test_bytes_that_are_no_text_are_read(tmp_path: Path) -> None:
    ctx = make_context(tmp_path, Programs({"journalctl": lines(list(XID.encode() + b"\xff"))}))
    assert (KernelLog(ctx, 1000).read() or [""])[0].startswith(XID)


@pytest.mark.parametrize("answer", [127, 1, "", "no JSON\n[]\n{}\n"])
def test_a_log_that_cannot_be_read_is_unknown(tmp_path: Path, answer: str | int) -> None:
    ctx = make_context(tmp_path, Programs({"journalctl": answer}))
    assert KernelLog(ctx, 1000).read() is None
