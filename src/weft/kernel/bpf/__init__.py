"""BPF from Python: libbpf by ctypes, and the bpf() syscall for what it lacks."""
