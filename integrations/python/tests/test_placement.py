"""Where a measured process lies, and that a program does not notice that it was put there."""

import sys
import textwrap

import pytest

ADDRESSES = """
    def addresses():
        for line in open("/proc/self/maps"):
            fields = line.split(maxsplit=5)
            start = int(fields[0].split("-")[0], 16)
            yield start, fields[1], fields[5].strip() if len(fields) > 5 else ""
    def ours(address):
        return address >> 44 == 6
"""


@pytest.fixture
def inside(pytester, simulated):
    """Runs a function's body in a measured process; what it asserts is asserted there."""

    def run(body, command=None):
        test = "def test_it(benchmark):\n    benchmark(sum, [1])\n" + textwrap.indent(
            textwrap.dedent(body), "    "
        )
        pytester.makepyfile(textwrap.dedent(ADDRESSES) + test)
        result = simulated(command=command)
        assert result.exit == 0, result.output
        return result

    return run


def test_program_and_libraries_lie_where_invar_puts_them(inside):
    inside(
        """
        import sys
        code = [(start, name) for start, rights, name in addresses() if "x" in rights and name.startswith("/")]
        assert len(code) > 3
        # A program that is not position-independent lies where it was linked to, below 4 GiB.
        kernels = [name for start, name in code if not ours(start) and start >> 32]
        # The library that has put them there stays where it was loaded first.
        assert all("_native" in name for name in kernels), kernels
        assert ours(id(sys)) and ours(id([]))
        """
    )


def test_who_placed_the_memory_is_told(inside):
    told = [line for line in inside("pass").progress if line["event"] == "placed"]
    assert told == [{"event": "placed", "by": "invar"}]


def test_the_environment_says_nothing_of_it(inside):
    inside(
        """
        import os
        assert not {"LD_PRELOAD", "INVAR_PLACEMENT"} & set(os.environ)
        import sys
        assert os.readlink("/proc/self/exe") == os.path.realpath(sys.executable)
        """
    )


def test_memory_that_is_mapped_has_the_same_address_each_time(inside):
    inside(
        """
        import ctypes, mmap
        def address(mapped):
            return ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        first = [address(mmap.mmap(-1, size)) for size in (4096, 3 << 20, 8 << 20)]
        assert all(map(ours, first)), first
        # Freed in between: the same holes are found again.
        assert [address(mmap.mmap(-1, size)) for size in (4096, 3 << 20, 8 << 20)] == first
        """
    )


def test_memory_grows_and_moves_with_what_it_holds(inside):
    inside(
        """
        import ctypes
        libc = ctypes.CDLL(None)
        libc.malloc.restype = libc.realloc.restype = ctypes.c_void_p
        libc.realloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        libc.free.argtypes = [ctypes.c_void_p]
        blocks = [libc.malloc(1 << 20) for _ in range(20)]
        for number, block in enumerate(blocks):
            ctypes.memset(block, number, 1 << 20)
        for size in (2 << 20, 64 << 20, 1 << 19):
            blocks = [libc.realloc(block, size) for block in blocks]
            for number, block in enumerate(blocks):
                assert ours(block) and ctypes.string_at(block, 1 << 19) == bytes([number]) * (1 << 19)
        for block in blocks:
            libc.free(block)
        libc.sbrk.restype = ctypes.c_void_p
        libc.sbrk.argtypes = [ctypes.c_ssize_t]
        before = libc.sbrk(0)
        assert ours(before) and libc.sbrk(1 << 20) == before and libc.sbrk(-(1 << 20)) == before + (1 << 20)
        """
    )


def test_threads_map_memory_with_all_signals_blocked(inside):
    inside(
        """
        import mmap, signal, threading
        def work():
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
            for size in range(1, 200):
                mmap.mmap(-1, size * 4096).close()
            done.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        done = []
        threads = [threading.Thread(target=work) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 20 and all(signal.SIGTERM in mask for mask in done)
        """
    )


def test_children_are_forked_while_threads_map_memory(inside):
    inside(
        """
        import mmap, os, threading
        def work():
            while not ended:
                mmap.mmap(-1, 1 << 20).close()
        ended = []
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(50):
            child = os.fork()
            if child == 0:
                mmap.mmap(-1, 5 << 20).close()
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        ended.append(True)
        for thread in threads:
            thread.join()
        """
        if sys.version_info >= (3, 9)
        else "pass"
    )


def test_programs_that_are_executed_are_placed_by_the_kernel(inside):
    inside(
        """
        import subprocess, sys
        program = "print(open('/proc/self/maps').read())"
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        assert not any(ours(int(line.split("-")[0], 16)) for line in said.splitlines() if line)
        """
    )


def test_a_handler_for_its_signal_is_the_program_s_own(inside):
    inside(
        """
        import mmap, os, signal
        caught = []
        assert signal.getsignal(signal.SIGSYS) == signal.SIG_DFL
        signal.signal(signal.SIGSYS, lambda number, frame: caught.append(number))
        os.kill(os.getpid(), signal.SIGSYS)
        mmap.mmap(-1, 4096).close()
        assert caught == [signal.SIGSYS]
        signal.signal(signal.SIGSYS, signal.SIG_DFL)
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGSYS)
            os._exit(1)
        assert os.waitpid(child, 0)[1] & 0x7F == signal.SIGSYS
        """
    )


def test_a_directory_is_listed_by_name(inside):
    inside(
        """
        import os, tempfile
        with tempfile.TemporaryDirectory() as directory:
            names = [f"{number * 7919 % 300:03}" for number in range(300)]
            for name in names:
                open(os.path.join(directory, name), "w").close()
            assert os.listdir(directory) == sorted(names)
            assert [entry.inode() for entry in os.scandir(directory)] == [
                os.stat(os.path.join(directory, name)).st_ino for name in sorted(names)
            ]
        """
    )


def test_no_file_has_a_small_number(inside):
    inside(
        """
        import os
        for path in ("/", "/proc", "/tmp", "/dev/null", "/etc/passwd"):
            status = os.stat(path)
            assert status.st_ino > 256 and status.st_dev > 256, (path, status)
            assert os.path.samestat(status, os.stat(path))
        """
    )


def test_a_library_that_the_user_has_preloaded_stays(pytester, simulated):
    pytester.makepyfile(
        """
        import os
        def test_it(benchmark):
            assert "libutil" in os.environ["LD_PRELOAD"]
            assert any("libutil" in line for line in open("/proc/self/maps"))
            benchmark(sum, [1])
        """
    )
    run = simulated(env={"LD_PRELOAD": "libutil.so.1"}, request={"pass": ["LD_PRELOAD"]})
    assert run.exit == 0, run.output
    assert {"event": "placed", "by": "kernel"} in run.progress


def test_to_ask_for_it_in_a_program_that_has_begun_does_nothing(inside):
    inside(
        """
        import os, subprocess, sys
        program = "print('once'); import pytest_invar._native as native; print(native.is_placed())"
        environment = dict(os.environ, INVAR_PLACEMENT="1")
        said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert said.stdout.split() == ["once", "False"], said
        """
    )


def test_errors_of_growing_in_place_are_the_kernel_s(inside):
    inside(
        """
        import ctypes, errno
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mremap.restype = ctypes.c_void_p
        libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
        assert libc.mremap(0x5000_0000_0000, 4096, 8192, 0) == ctypes.c_void_p(-1).value
        assert ctypes.get_errno() == errno.EFAULT
        """
    )


REFUSES = """
    import ctypes, os, struct, sys
    # A filter that answers EPERM to seccomp(2) and prctl(PR_SET_SECCOMP): what some containers do.
    def line(code, jt, jf, k):
        return struct.pack("HBBI", code, jt, jf, k)
    filter = b"".join([line(0x20, 0, 0, 0), line(0x15, 0, 1, 317), line(6, 0, 0, 0x50001), line(6, 0, 0, 0x7FFF0000)])
    buffer = ctypes.create_string_buffer(filter)
    program = struct.pack("HxxxxxxQ", len(filter) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *sys.argv[1:]])
"""


def test_where_it_is_refused_the_run_goes_on_and_says_so(pytester, simulated):
    refuses = pytester.path / "refuses.py"
    refuses.write_text(textwrap.dedent(REFUSES))
    pytester.makepyfile(
        """
        import os
        def test_it(benchmark):
            assert "LD_PRELOAD" not in os.environ
            benchmark(sum, [1])
        """
    )
    run = simulated(command=[sys.executable, str(refuses)])
    assert run.exit == 0, run.output
    assert {"event": "placed", "by": "kernel"} in run.progress
    assert "the kernel has placed the memory" in run.output
