"""What a probe of a sound toolchain image prints."""

PROBE_ANSWER = """\
rustc\trustc 1.95.0 (59807616e 2026-04-14)
rustc\tbinary: rustc
rustc\tcommit-date: 2026-04-14
rustc\thost: x86_64-unknown-linux-gnu
rustc\trelease: 1.95.0
cargo\tcargo 1.95.0 (f2d3ce0bd 2026-03-21)
sysroot\t/usr/local/rust
libc\tglibc 2.36
channel_date\t2026-04-16
now\t1795267014
newest\t1795266469.9000000000
python\tversion 3.11.2
python\texecutable /usr/bin/python3.11
python\tlibrary /usr/lib/python3.11
python\tbytecode unchecked-hash
uv\tuv 0.13.9 (x86_64-unknown-linux-gnu)
digest\tbb
digest\taa
end
"""
