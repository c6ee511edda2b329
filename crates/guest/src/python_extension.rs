//! The zygote's jail code, as a module that CPython loads: `serve(socket)` is a station that forks
//! its interpreter. It returns in each environment with its variables, and in the zygote, once the
//! server is gone, with None.
//!
//! Compiled by the build script on its own, from the same files as the spawner, and without any
//! dependency: the few functions of Python's stable interface are declared here by hand, so one
//! build serves every version from 3.9 on.

#![allow(dead_code, reason = "the spawner uses the rest")]

#[path = "jail/mod.rs"]
mod jail;

use core::{
    ffi::{c_char, c_int, c_void},
    ptr::null_mut,
};

use jail::{
    fork::{Fork, Interpreter},
    message::Report,
    process::ThreadId,
    station::{Role, Station},
    sys,
};

/// Python's `PyObject`, always behind a pointer.
type Object = c_void;

#[repr(C)]
struct MethodDef {
    name: *const c_char,
    function: Option<unsafe extern "C" fn(*mut Object, *mut Object) -> *mut Object>,
    flags: c_int,
    doc: *const c_char,
}

#[repr(C)]
struct ModuleDef {
    reference_count: isize,
    kind: *mut Object,
    init: *mut c_void,
    index: isize,
    copy: *mut Object,
    name: *const c_char,
    doc: *const c_char,
    size: isize,
    methods: *mut MethodDef,
    slots: *mut c_void,
    traverse: *mut c_void,
    clear: *mut c_void,
    free: *mut c_void,
}

const API_VERSION: c_int = 3;
const METH_O: c_int = 8;

unsafe extern "C" {
    fn PyModule_Create2(definition: *mut ModuleDef, api_version: c_int) -> *mut Object;
    fn PyOS_BeforeFork();
    fn PyOS_AfterFork_Parent();
    fn PyOS_AfterFork_Child();
    fn PyLong_AsLong(object: *mut Object) -> core::ffi::c_long;
    fn PyErr_Occurred() -> *mut Object;
    fn PyErr_SetFromErrno(kind: *mut Object) -> *mut Object;
    fn PyList_New(length: isize) -> *mut Object;
    fn PyList_Append(list: *mut Object, item: *mut Object) -> c_int;
    fn PyBytes_FromStringAndSize(text: *const c_char, length: isize) -> *mut Object;
    fn Py_DecRef(object: *mut Object);
    fn Py_BuildValue(format: *const c_char, ...) -> *mut Object;
    static mut PyExc_OSError: *mut Object;
    fn __errno_location() -> *mut c_int;
}

static mut METHODS: [MethodDef; 2] = [
    MethodDef {
        name: c"serve".as_ptr(),
        function: Some(serve),
        flags: METH_O,
        doc: null_mut(),
    },
    MethodDef {
        name: null_mut(),
        function: None,
        flags: 0,
        doc: null_mut(),
    },
];

static mut MODULE: ModuleDef = ModuleDef {
    reference_count: 1,
    kind: null_mut(),
    init: null_mut(),
    index: 0,
    copy: null_mut(),
    name: c"_lambent".as_ptr(),
    doc: null_mut(),
    size: -1,
    methods: &raw mut METHODS as *mut MethodDef,
    slots: null_mut(),
    traverse: null_mut(),
    clear: null_mut(),
    free: null_mut(),
};

/// Called by the import system, once.
#[unsafe(no_mangle)]
pub extern "C" fn PyInit__lambent() -> *mut Object {
    // SAFETY: the definition is static, as the interface demands, and used by nobody else.
    unsafe { PyModule_Create2(&raw mut MODULE, API_VERSION) }
}

/// CPython's own hooks: they keep its locks and its idea of threads right.
struct CPython;

impl Interpreter for CPython {
    fn before_fork(&mut self) {
        // SAFETY: called with the interpreter's lock held, as the next two.
        unsafe { PyOS_BeforeFork() }
    }

    fn after_fork_in_parent(&mut self) {
        // SAFETY: see above.
        unsafe { PyOS_AfterFork_Parent() }
    }

    fn after_fork_in_child(&mut self) {
        // SAFETY: see above.
        unsafe { PyOS_AfterFork_Child() }
    }
}

unsafe extern "C" fn serve(_: *mut Object, socket: *mut Object) -> *mut Object {
    // SAFETY: the argument of a call from Python, with its lock held.
    let socket = unsafe { PyLong_AsLong(socket) };
    // SAFETY: the lock is held.
    if socket == -1 && !unsafe { PyErr_Occurred() }.is_null() {
        return null_mut();
    }
    match run(socket as i32) {
        Ok(Role::Environment(start)) => variables(&start.environment),
        // SAFETY: builds None.
        Ok(Role::Ended) => unsafe { Py_BuildValue(c"".as_ptr()) },
        Err(errno) => {
            // SAFETY: the lock is held; the exception type is static.
            unsafe {
                *__errno_location() = errno.0;
                PyErr_SetFromErrno(PyExc_OSError)
            }
        }
    }
}

fn run(socket: i32) -> Result<Role, sys::Errno> {
    let own = sys::pidfd_open(std::process::id(), 0)?;
    let maker = Fork {
        socket,
        thread_id: ThreadId::find(),
        interpreter: CPython,
        ghost: None,
    };
    let mut station = Station::new(socket, own as i32, maker)?;
    sys::send(socket, &Report::Ready.encode(), &[], 0)?;
    let mut role = station.run();
    if let Role::Environment(start) = &mut role {
        // The template's variables first, the environment's own after them.
        let mut all = std::mem::take(&mut station.configuration_mut().environment);
        all.append(&mut start.environment);
        start.environment = all;
        // What the station had open is closed; its memory is a few pages of the zygote's.
        std::mem::forget(station);
    }
    Ok(role)
}

/// A list of bytes, `NAME=value` each.
fn variables(all: &[std::ffi::CString]) -> *mut Object {
    // SAFETY: the lock is held. Objects are checked before use, and given back after.
    unsafe {
        let list = PyList_New(0);
        if list.is_null() {
            return list;
        }
        for one in all {
            let bytes = PyBytes_FromStringAndSize(one.as_ptr(), one.as_bytes().len() as isize);
            if bytes.is_null() || PyList_Append(list, bytes) != 0 {
                Py_DecRef(list);
                return null_mut();
            }
            Py_DecRef(bytes);
        }
        list
    }
}
