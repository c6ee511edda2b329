//! The environment variables that Lambda sets for a function's process.
//!
//! AWS: "Using Lambda environment variables", defined runtime environment variables. Those that a
//! user may not set are refused where the configuration is taken; the others are set here first
//! and the user's win.

use sandbox::{Launch, RUNTIME_API};

use super::{Definition, LogFormat, credentials, environment::Initialization};
use crate::identity::Session;

/// The variables that are the same for all environments of a definition.
pub fn of_definition(definition: &Definition, endpoint_url: &str) -> Vec<(String, String)> {
    let mut variables = Variables::default();
    match definition.launch {
        Launch::Image(_) => of_image(&mut variables, definition),
        _ => of_runtime(&mut variables, &definition.runtime),
    }
    // Not Lambda's, which has no other endpoints than AWS's own.
    variables.set("AWS_ENDPOINT_URL", endpoint_url);
    variables.set("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR");
    for (name, value) in &definition.environment {
        variables.set(name, value);
    }
    set_reserved(&mut variables, definition);
    variables.0
}

/// An image says itself where its things are.
fn of_image(variables: &mut Variables, definition: &Definition) {
    variables.set("TZ", ":UTC");
    variables.set(
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    );
    for (name, value) in &definition.image_environment {
        variables.set(name, value);
    }
}

/// What Lambda's runtimes set before anything else.
fn of_runtime(variables: &mut Variables, runtime: &str) {
    variables.set("LANG", "en_US.UTF-8");
    variables.set("TZ", ":UTC");
    let (path, libraries) = search_paths(runtime);
    variables.set("PATH", &path);
    variables.set("LD_LIBRARY_PATH", &libraries);
    if is_managed(runtime) {
        // A shell script starts these in Lambda, and leaves its traces.
        variables.set("PWD", "/var/task");
        variables.set("SHLVL", "0");
    }
    if let Some(version) = runtime.strip_prefix("nodejs") {
        let major = version.trim_end_matches(".x");
        variables.set(
            "NODE_PATH",
            &format!(
                "/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/var/task"
            ),
        );
    }
    if let Some(minor) = runtime.strip_prefix("python3.") {
        variables.set("PYTHONPATH", "/var/runtime");
        // Amazon Linux 2023, from 3.12 on, has no en_US: the interpreter makes do with this, and
        // tells its children.
        if minor.parse().is_ok_and(|minor: u32| minor >= 12) {
            variables.set("LC_CTYPE", "C.UTF-8");
        }
    }
    if !runtime.starts_with("provided") {
        // Our own clients mark entries of several lines as one; see log_frames.rs.
        variables.set("LAMBENT_LOG_FRAMES", "1");
    }
}

/// Where programs and libraries are looked for. Lambda's interpreters lie below `/var/lang`, and
/// so do links to ours.
fn search_paths(runtime: &str) -> (String, String) {
    let path = "/usr/local/bin:/usr/bin/:/bin:/opt/bin";
    let libraries =
        "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib";
    match runtime {
        "provided.al2" => (path.to_owned(), libraries.to_owned()),
        _ => (
            format!("/var/lang/bin:{path}"),
            format!("/var/lang/lib:{libraries}"),
        ),
    }
}

/// Whether the runtime brings its own client.
fn is_managed(runtime: &str) -> bool {
    // An image has none of ours.
    !runtime.is_empty() && !runtime.starts_with("provided")
}

/// Those that a user cannot change.
fn set_reserved(variables: &mut Variables, definition: &Definition) {
    let region = &definition.key.region;
    if !definition.handler.is_empty() {
        variables.set("_HANDLER", &definition.handler);
    }
    variables.set("AWS_REGION", region);
    variables.set("AWS_DEFAULT_REGION", region);
    if is_managed(&definition.runtime) {
        variables.set(
            "AWS_EXECUTION_ENV",
            &format!("AWS_Lambda_{}", definition.runtime),
        );
        // Our own clients mark multi-line entries as one; see log_frames.rs.
        variables.set("LAMBENT_LOG_FRAMES", "1");
    }
    variables.set("AWS_LAMBDA_FUNCTION_NAME", &definition.key.name);
    variables.set("AWS_LAMBDA_FUNCTION_VERSION", &definition.version);
    variables.set(
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        &definition.memory_mb.to_string(),
    );
    if !definition.snap_start {
        // Lambda leaves it out where all environments have the variables of one snapshot.
        variables.set("AWS_LAMBDA_LOG_GROUP_NAME", &definition.log_group);
    }
    // Lambda leaves it out for text.
    if definition.log_format == LogFormat::Json {
        variables.set("AWS_LAMBDA_LOG_FORMAT", "JSON");
        variables.set(
            "AWS_LAMBDA_LOG_LEVEL",
            definition.application_log_level.as_str(),
        );
    }
    variables.set("LAMBDA_TASK_ROOT", "/var/task");
    variables.set("LAMBDA_RUNTIME_DIR", "/var/runtime");
}

/// The variables of one environment.
pub fn of_environment(
    session: &Session,
    initialization: Initialization,
    log_stream: &str,
) -> Vec<(String, String)> {
    let mut variables = Variables::default();
    variables.set("AWS_LAMBDA_INITIALIZATION_TYPE", initialization.as_str());
    variables.set("AWS_LAMBDA_LOG_STREAM_NAME", log_stream);
    variables.set("AWS_ACCESS_KEY_ID", &session.access_key_id);
    variables.set("AWS_SECRET_ACCESS_KEY", &session.secret_access_key);
    variables.set("AWS_SESSION_TOKEN", &session.session_token);
    variables.0
}

/// The same of all environments of a snapshot: credentials are asked for, with this token.
pub fn of_snapshot(token: &str) -> Vec<(String, String)> {
    let mut variables = Variables::default();
    let snap_start = Initialization::SnapStart.as_str();
    variables.set("AWS_LAMBDA_INITIALIZATION_TYPE", snap_start);
    let uri = format!("http://{RUNTIME_API}{}", credentials::PATH);
    variables.set(credentials::URI_VARIABLE, &uri);
    variables.set(credentials::TOKEN_VARIABLE, token);
    variables.0
}

#[derive(Default)]
struct Variables(Vec<(String, String)>);

impl Variables {
    fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }
}
