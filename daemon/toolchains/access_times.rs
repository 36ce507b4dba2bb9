//! Reads files in every way that a build may, each its own. Says `read NAME` of what it has read, and `refused NAME`
//! where the sandbox or the file system does not let it: what cannot be done need not be seen.

use std::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void, CString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::null_mut;

extern "C" {
    fn copy_file_range(from: c_int, at: *mut i64, to: c_int, to_at: *mut i64, count: usize, flags: c_uint) -> isize;
    fn ioctl(to: c_int, request: c_ulong, ...) -> c_int;
    fn mmap(at: *mut c_void, count: usize, protection: c_int, flags: c_int, from: c_int, offset: c_long) -> *mut c_void;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn pipe(ends: *mut c_int) -> c_int;
    fn sendfile(to: c_int, from: c_int, offset: *mut c_long, count: usize) -> isize;
    fn splice(from: c_int, at: *mut i64, to: c_int, to_at: *mut i64, count: usize, flags: c_uint) -> isize;
}

const COUNT: usize = 4096;
const FICLONE: c_ulong = 0x4004_9409;
const O_NOATIME: c_int = 0o1_000_000;
const PROT_READ: c_int = 1;
const MAP_PRIVATE: c_int = 2;

fn path(name: &str) -> String {
    format!("/work/ways/{name}")
}

fn done(count: isize) -> io::Result<()> {
    if count < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn into_a_file(name: &str, copy: impl Fn(c_int, c_int) -> isize) -> io::Result<()> {
    let (from, to) = (File::open(path(name))?, File::create("/target/.copied")?);
    done(copy(from.as_raw_fd(), to.as_raw_fd()))
}

fn main() {
    let say = |name: &str, read: io::Result<()>| match read {
        Ok(()) => println!("read {name}"),
        Err(error) => println!("refused {name} {error}"),
    };
    say("read", fs::read(path("read")).map(drop));
    say("link", fs::read(path("alias")).map(drop));
    say("fs-copy", fs::copy(path("fs-copy"), "/target/.copied").map(drop));
    say("hard-link", fs::hard_link(path("hard-link"), "/target/.linked").and_then(|()| fs::read("/target/.linked")).map(drop));
    say("io-copy", File::open(path("io-copy")).and_then(|mut from| {
        io::copy(&mut from, &mut File::create("/target/.copied")?).map(drop)
    }));
    say("mmap", File::open(path("mmap")).and_then(|from| unsafe {
        let at = mmap(null_mut(), COUNT, PROT_READ, MAP_PRIVATE, from.as_raw_fd(), 0);
        done(at as isize).map(|()| drop(std::ptr::read_volatile(at as *const u8)))
    }));
    say("no-atime", unsafe {
        let name = CString::new(path("no-atime")).unwrap();
        let from = open(name.as_ptr(), O_NOATIME);
        done(from as isize).and_then(|()| File::from_raw_fd(from).read(&mut [0; 16]).map(drop))
    });
    say("sendfile", into_a_file("sendfile", |from, to| unsafe { sendfile(to, from, null_mut(), COUNT) }));
    say("splice", File::open(path("splice")).and_then(|from| unsafe {
        let mut ends = [0; 2];
        done(pipe(ends.as_mut_ptr()) as isize)?;
        done(splice(from.as_raw_fd(), null_mut(), ends[1], null_mut(), COUNT, 0))
    }));
    say("copy-file-range", into_a_file("copy-file-range", |from, to| unsafe {
        copy_file_range(from, null_mut(), to, null_mut(), COUNT, 0)
    }));
    say("clone", into_a_file("clone", |from, to| unsafe { ioctl(to, FICLONE, from) as isize }));
}
