//! How each kind of launch becomes a program and its files, and which functions may take the
//! faster way than executing it.

use std::{
    borrow::Cow,
    ffi::CString,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use guest::{
    jail::message::{Help, Program},
    supervisor,
};

use crate::{Image, Interpreter, Launch, TemplateSpec, jailer::message::Runtime};

/// Where the runtime clients lie, as in Lambda.
const RUNTIME_DIR: &str = "/var/runtime";
/// Isolated and without site: no host configuration and no .pth hooks; the client arranges the
/// user's paths itself.
const PYTHON_FLAGS: &[&str] = &["-I", "-S"];
/// The same for an interpreter that is to heed the function's own `PYTHON…` variables.
const HEEDING_PYTHON_FLAGS: &[&str] = &["-s", "-S"];
/// Lambda's own language setting, which few functions change.
pub const USUAL_LANG: &str = "en_US.UTF-8";
/// Lambda's variable for a program that is to start the runtime's in its stead.
const EXEC_WRAPPER: &str = "AWS_LAMBDA_EXEC_WRAPPER";

/// The files of `/var/runtime`.
pub fn files(runtime: Runtime) -> Vec<(&'static str, &'static [u8])> {
    match runtime {
        Runtime::None => Vec::new(),
        Runtime::Python => [guest::python::FILES, guest::python::ZYGOTE_FILES].concat(),
        Runtime::Node => guest::node::FILES.to_vec(),
    }
}

pub fn runtime(launch: &Launch) -> Runtime {
    match launch {
        Launch::Bootstrap | Launch::Image(_) => Runtime::None,
        Launch::Python(_) => Runtime::Python,
        Launch::Node(_) => Runtime::Node,
    }
}

/// What starts extensions, and the runtime after them.
pub const SUPERVISOR: &str = "/var/runtime/lambent";

/// What to execute, in order of preference.
pub fn programs(spec: &TemplateSpec) -> Vec<Program> {
    match has_extensions(&spec.layers) {
        true => vec![supervised(&runtime_programs(spec))],
        false => runtime_programs(spec),
    }
}

/// Whether layers bring external extensions.
pub fn has_extensions(layers: &[PathBuf]) -> bool {
    let is_one = |entry: fs::DirEntry| {
        let about = fs::metadata(entry.path());
        about.is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    layers.iter().any(|layer| {
        let entries = fs::read_dir(layer.join("extensions"));
        entries.into_iter().flatten().flatten().any(is_one)
    })
}

/// Whether a container image brings them itself.
pub fn image_has_extensions(launch: &Launch) -> bool {
    let Launch::Image(image) = launch else {
        return false;
    };
    let below_opt: Vec<_> = image.layers.iter().map(|layer| layer.join("opt")).collect();
    has_extensions(&below_opt)
}

fn supervised(programs: &[Program]) -> Program {
    let mut words: Vec<&[u8]> = vec![SUPERVISOR.as_bytes(), supervisor::ARGUMENT.as_bytes()];
    for (number, program) in programs.iter().enumerate() {
        if number > 0 {
            words.push(supervisor::OR.as_bytes());
        }
        words.extend(program.arguments.iter().map(|word| word.as_bytes()));
    }
    program(&words)
}

fn runtime_programs(spec: &TemplateSpec) -> Vec<Program> {
    match &spec.launch {
        Launch::Bootstrap => vec![
            program(&[b"/var/task/bootstrap"]),
            program(&[b"/opt/bootstrap"]),
        ],
        Launch::Image(image) => of_image(spec, image),
        Launch::Python(python) => {
            vec![wrapped(
                spec,
                python,
                python_flags(spec),
                guest::python::MAIN,
            )]
        }
        Launch::Node(node) => {
            let flags = node_flags(spec);
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            vec![wrapped(spec, node, &flags, guest::node::MAIN)]
        }
    }
}

/// An image's program wherever it may be, as a shell looks for it.
fn of_image(spec: &TemplateSpec, image: &Image) -> Vec<Program> {
    let Some(name) = image.program.first() else {
        return Vec::new();
    };
    let arguments: Vec<CString> = image
        .program
        .iter()
        .map(|word| string(word.as_bytes()))
        .collect();
    let at = |path: String| Program {
        path: string(path.as_bytes()),
        arguments: arguments.clone(),
    };
    if name.contains('/') {
        return vec![at(name.clone())];
    }
    let path = variable(spec, "PATH").unwrap_or_default().split(':');
    path.filter(|directory| !directory.is_empty())
        .map(|directory| at(format!("{directory}/{name}")))
        .collect()
}

/// Where a function's process begins.
pub fn directory(launch: &Launch) -> CString {
    match launch {
        Launch::Image(image) => string(image.directory.as_bytes()),
        _ => c"/var/task".into(),
    }
}

pub fn python_flags(spec: &TemplateSpec) -> &'static [&'static str] {
    match spec.env.iter().any(|(name, _)| is_pythons(name)) {
        true => HEEDING_PYTHON_FLAGS,
        false => PYTHON_FLAGS,
    }
}

/// V8 would size its heap by the machine's memory, and go past the function's before it tidies up.
/// These are the parts of it that Lambda gives, unless the function says in `NODE_OPTIONS` what it
/// wants: an argument would win over it.
fn node_flags(spec: &TemplateSpec) -> Vec<String> {
    let memory_mb = spec.memory_mb;
    let semi_space = ("--max-semi-space-size", (memory_mb / 20).max(1));
    let old_space = ("--max-old-space-size", memory_mb / 10 * 9);
    let options = variable(spec, "NODE_OPTIONS").unwrap_or_default();
    let options = options.replace('_', "-");
    let mut flags = vec!["--expose-gc".to_owned()];
    if ![semi_space, old_space]
        .iter()
        .any(|(name, _)| options.contains(name))
    {
        flags.extend([semi_space, old_space].map(|(name, size)| format!("{name}={size}")));
    }
    flags
}

/// Whether a variable has a say in how an interpreter of Python starts. Of the others our client
/// makes something itself, or they have no meaning here.
fn is_pythons(name: &str) -> bool {
    const HARMLESS: &[&str] = &[
        "PYTHONPATH",
        "PYTHONUNBUFFERED",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONIOENCODING",
        "PYTHONUTF8",
    ];
    name.starts_with("PYTHON") && !HARMLESS.contains(&name)
}

/// Where something of an interpreter's is to be found inside a sandbox. What a function's own
/// directories would hide moves to where Lambda has its interpreters.
pub fn inside(path: &Path) -> Cow<'_, Path> {
    const TAKEN: [&str; 6] = ["/tmp", "/opt", "/dev", "/proc", "/var/task", RUNTIME_DIR];
    let taken = TAKEN.iter().any(|taken| path.starts_with(taken));
    match path.strip_prefix("/") {
        Ok(relative) if taken => Cow::Owned(Path::new("/var/lang").join(relative)),
        _ => Cow::Borrowed(path),
    }
}

/// What Lambda calls the interpreter in `/var/lang/bin`, which is on every function's path: a
/// program that a function starts by that name runs on the function's own version.
pub fn commands(launch: &Launch) -> Vec<PathBuf> {
    match launch {
        Launch::Bootstrap | Launch::Image(_) => Vec::new(),
        Launch::Node(_) => vec!["node".into()],
        Launch::Python(python) => {
            let minor = python.version.split('.').nth(1);
            let versioned = minor.map(|minor| format!("python3.{minor}").into());
            versioned.into_iter().chain(["python3".into()]).collect()
        }
    }
}

/// Packages for all functions of an interpreter, and where they are found inside: Node.js's where
/// Lambda's runtime has its own, which is on their path already.
pub fn packages(launch: &Launch) -> Option<(PathBuf, PathBuf)> {
    let (found, at) = match launch {
        Launch::Bootstrap | Launch::Image(_) => return None,
        Launch::Node(node) => (node, "/var/runtime/node_modules".into()),
        Launch::Python(python) => {
            let minor = python.version.split('.').nth(1).unwrap_or_default();
            let at = format!("/var/lang/lib/python3.{minor}/site-packages");
            (python, at.into())
        }
    };
    Some((found.packages.clone()?, at))
}

/// The variables of a function's template, with the way to those packages behind its own.
pub fn environment(spec: &TemplateSpec) -> Vec<(String, String)> {
    let mut environment = spec.env.clone();
    if let (Launch::Python(_), Some((_, at))) = (&spec.launch, packages(&spec.launch)) {
        add_to_path(&mut environment, "PYTHONPATH", &at);
    }
    environment
}

pub fn add_to_path(environment: &mut Vec<(String, String)>, name: &str, path: &Path) {
    let path = path.to_string_lossy();
    match environment.iter_mut().find(|(known, _)| known == name) {
        Some((_, value)) if !value.is_empty() => *value = format!("{value}:{path}"),
        Some((_, value)) => *value = path.into_owned(),
        None => environment.push((name.to_owned(), path.into_owned())),
    }
}

/// An interpreter with our client; behind the function's wrapper, if it names one.
fn wrapped(spec: &TemplateSpec, with: &Interpreter, flags: &[&str], client: &str) -> Program {
    let client = format!("{RUNTIME_DIR}/{client}");
    let path = inside(&with.path);
    let wrapper = wrapper(spec).map(str::as_bytes);
    let words = wrapper
        .into_iter()
        .chain([path.as_os_str().as_bytes()])
        .chain(flags.iter().map(|flag| flag.as_bytes()))
        .chain([client.as_bytes()]);
    program(&words.collect::<Vec<_>>())
}

/// Whether a process of Node.js that was booted for no one in particular is as good as one that
/// is executed with this function's variables.
pub fn boots_plainly(spec: &TemplateSpec) -> bool {
    // Read when they are used, not when it boots; or by our client, again.
    const HARMLESS: &[&str] = &["NODE_ENV", "NODE_PATH", "NODE_TLS_REJECT_UNAUTHORIZED"];
    let has_a_say = |name: &str, value: &str| match name {
        "LANG" => value != USUAL_LANG,
        "OPENSSL_CONF" | "SSL_CERT_FILE" | "SSL_CERT_DIR" | "UV_THREADPOOL_SIZE" => true,
        _ if name.starts_with("NODE_") => !value.is_empty() && !HARMLESS.contains(&name),
        _ => name.starts_with("LC_") || name.starts_with("ICU_") || name.starts_with("UV_"),
    };
    starts_plainly(spec) && !spec.env.iter().any(|(name, value)| has_a_say(name, value))
}

/// The zygote for these functions, if forking one comes to the same as executing the interpreter.
pub fn zygote(spec: &TemplateSpec) -> Option<Help> {
    let Launch::Python(python) = &spec.launch else {
        return None;
    };
    if !starts_plainly(spec) || spec.env.iter().any(|(name, _)| is_pythons(name)) {
        return None;
    }
    let script = format!("{RUNTIME_DIR}/{}", guest::python::ZYGOTE);
    let socket = guest::ZYGOTE_SOCKET.to_string();
    let path = inside(&python.path);
    let words = [path.as_os_str().as_bytes()]
        .into_iter()
        .chain(PYTHON_FLAGS.iter().map(|flag| flag.as_bytes()))
        .chain([script.as_bytes(), socket.as_bytes()]);
    Some(Help {
        program: program(&words.collect::<Vec<_>>()),
        // None of the function's: the zygote has rights that the function must not have. The
        // encoding alone is the same. What the C library would have the kernel do in its memory by
        // itself, a snapshot has no use for.
        environment: vec![
            string(b"LANG=C.UTF-8"),
            string(b"GLIBC_TUNABLES=glibc.pthread.rseq=0"),
        ],
    })
}

/// Whether nothing of the function has a say in how its interpreter starts. What has is honoured
/// by executing the interpreter with it, inside the jail.
pub fn starts_plainly(spec: &TemplateSpec) -> bool {
    const OF_THE_LOADER: &[&str] = &["LD_", "GLIBC_TUNABLES", "MALLOC_", "GCONV_PATH", "LOCPATH"];
    let has_a_say = |name: &str, value: &str| match name {
        EXEC_WRAPPER => true,
        "LD_LIBRARY_PATH" => brings_libraries(spec, value),
        "LANG" | "LC_ALL" | "LC_CTYPE" => !value.to_ascii_uppercase().ends_with("UTF-8"),
        _ => OF_THE_LOADER.iter().any(|prefix| name.starts_with(prefix)),
    };
    let supervised = has_extensions(&spec.layers);
    !supervised && !spec.env.iter().any(|(name, value)| has_a_say(name, value))
}

/// Whether a library path leads to libraries of the function or its layers. Lambda's own path
/// names their directories for every function; mostly there is nothing in them.
fn brings_libraries(spec: &TemplateSpec, path: &str) -> bool {
    path.split(':').any(|directory| {
        let inside = |root: &Path, mounted: &str| {
            let below = Path::new(directory).strip_prefix(mounted).ok()?;
            Some(has_libraries(&root.join(below)))
        };
        let of_code = inside(&spec.code, "/var/task");
        let mut of_layers = spec.layers.iter().filter_map(|layer| inside(layer, "/opt"));
        of_code.unwrap_or(false) || of_layers.any(|has| has)
    })
}

fn has_libraries(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.as_bytes();
        name.starts_with(b"lib") && name.windows(3).any(|part| part == b".so")
    })
}

/// The function's own program that starts the runtime's, if it names one.
pub fn wrapper(spec: &TemplateSpec) -> Option<&str> {
    match spec.launch {
        Launch::Bootstrap | Launch::Image(_) => None,
        Launch::Python(_) | Launch::Node(_) => variable(spec, EXEC_WRAPPER),
    }
}

fn variable<'a>(spec: &'a TemplateSpec, name: &str) -> Option<&'a str> {
    let found = spec.env.iter().find(|(known, _)| known == name);
    found
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

fn program(words: &[&[u8]]) -> Program {
    let arguments: Vec<CString> = words.iter().map(|word| string(word)).collect();
    Program {
        path: arguments.first().cloned().unwrap_or_default(),
        arguments,
    }
}

/// Paths with a NUL in them do not exist; an empty one does not either.
fn string(text: &[u8]) -> CString {
    CString::new(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_with_extensions_begins_with_their_supervisor() {
        let layer = std::env::temp_dir().join(format!("lambent-layer-{}", std::process::id()));
        let extensions = layer.join("extensions");
        fs::create_dir_all(&extensions).unwrap();
        let file = extensions.join("agent");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let spec = TemplateSpec {
            layers: vec![layer.clone()],
            ..spec(&[])
        };
        let first = |spec: &TemplateSpec| programs(spec)[0].path.clone();
        assert_ne!(first(&spec).to_bytes(), SUPERVISOR.as_bytes());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(first(&spec).to_bytes(), SUPERVISOR.as_bytes());
        assert!(!starts_plainly(&spec) && zygote(&spec).is_none());
        fs::remove_dir_all(&layer).unwrap();
    }

    #[test]
    fn what_would_be_hidden_moves() {
        let pairs = [
            ("/srv/node", "/srv/node"),
            ("/tmp/n/bin/node", "/var/lang/tmp/n/bin/node"),
            ("/opt/node", "/var/lang/opt/node"),
            ("/optional/node", "/optional/node"),
        ];
        for (host, shown) in pairs {
            assert_eq!(inside(Path::new(host)), Path::new(shown));
        }
    }

    use crate::NetworkPolicy;

    fn spec(env: &[(&str, &str)]) -> TemplateSpec {
        let python = Interpreter {
            path: "/usr/bin/python3".into(),
            version: "3.11.2".into(),
            roots: Vec::new(),
            packages: None,
        };
        TemplateSpec {
            label: "f".into(),
            launch: Launch::Python(python),
            code: "/nowhere".into(),
            layers: Vec::new(),
            env: env
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            memory_mb: 128,
            tmp_mb: 512,
            network: NetworkPolicy::Off,
        }
    }

    #[test]
    fn packages_for_all_are_found_behind_a_functions_own() {
        let mut spec = spec(&[("PYTHONPATH", "/opt/mine")]);
        assert_eq!(environment(&spec), spec.env);
        if let Launch::Python(python) = &mut spec.launch {
            python.packages = Some("/srv/boto3".into());
        }
        let path = "/opt/mine:/var/lang/lib/python3.11/site-packages";
        assert_eq!(environment(&spec), [("PYTHONPATH".into(), path.into())]);
    }

    #[test]
    fn who_has_a_say_in_the_start_does_not_fork() {
        for (name, value, forks) in [
            ("LANG", "en_US.UTF-8", true),
            ("LANG", "en_US", false),
            ("PYTHONPATH", "/opt/x", true),
            ("PYTHONUNBUFFERED", "1", true),
            ("PYTHONHASHSEED", "0", false),
            (
                "LD_LIBRARY_PATH",
                "/lib64:/var/task:/var/task/lib:/opt/lib",
                true,
            ),
            ("LD_PRELOAD", "/var/task/x.so", false),
            ("GLIBC_TUNABLES", "x", false),
            (EXEC_WRAPPER, "/opt/wrapper", false),
        ] {
            assert_eq!(
                zygote(&spec(&[(name, value)])).is_some(),
                forks,
                "{name}={value}"
            );
        }
    }

    #[test]
    fn libraries_of_the_function_are_found_by_executing() {
        let dir = std::env::temp_dir().join(format!("lambent-libraries-{}", std::process::id()));
        fs::create_dir_all(dir.join("lib")).expect("make directory");
        let mut spec = spec(&[("LD_LIBRARY_PATH", "/var/task:/var/task/lib:/opt/lib")]);
        spec.code.clone_from(&dir);
        fs::write(dir.join("_speedups.cpython-311.so"), "").expect("write");
        assert!(starts_plainly(&spec), "a module is not a library");
        fs::write(dir.join("lib/libfoo.so.1"), "").expect("write");
        assert!(!starts_plainly(&spec));
        spec.code = "/nowhere".into();
        spec.layers = vec![dir.clone()];
        assert!(!starts_plainly(&spec), "a layer's");
        fs::remove_dir_all(&dir).expect("clean up");
    }

    fn words(spec: &TemplateSpec) -> Vec<String> {
        let arguments = programs(spec).swap_remove(0).arguments;
        let words = arguments.iter().map(|word| word.to_str().expect("text"));
        words.map(str::to_owned).collect()
    }

    #[test]
    fn an_interpreter_heeds_its_variables() {
        for (name, flag) in [("PYTHONPATH", "-I"), ("PYTHONHASHSEED", "-s")] {
            assert_eq!(words(&spec(&[(name, "0")]))[1], flag, "{name}");
        }
    }

    #[test]
    fn the_heap_of_node_is_lambdas_unless_the_function_says_otherwise() {
        let lambdas = ["--max-semi-space-size=6", "--max-old-space-size=108"];
        for (options, ours) in [
            ("--enable-source-maps", true),
            ("--max-old-space-size=100", false),
            ("--trace-warnings --max_semi_space_size=2", false),
        ] {
            let mut spec = spec(&[("NODE_OPTIONS", options)]);
            spec.launch = match spec.launch {
                Launch::Python(found) => Launch::Node(found),
                other => other,
            };
            let words = words(&spec);
            let has = lambdas.map(|flag| words.iter().any(|word| word == flag));
            assert_eq!(has, [ours; 2], "{options}: {words:?}");
        }
    }

    #[test]
    fn a_wrapper_comes_first() {
        let words = words(&spec(&[(EXEC_WRAPPER, "/opt/wrapper")]));
        let expected = [
            "/opt/wrapper",
            "/usr/bin/python3",
            "-I",
            "-S",
            "/var/runtime/bootstrap.py",
        ];
        assert_eq!(words, expected);
    }
}
