//! The command line, as given. The doc comments are the manual.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// An AWS Lambda that you own.
///
/// `lambent up` starts the platform; the aws CLI, boto3 and every AWS SDK use it when
/// AWS_ENDPOINT_URL names it, and so do the commands below. `lambent demo` shows it all at once.
#[derive(Debug, Parser)]
#[command(name = "lambent", version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the platform.
    Up(UpArguments),
    /// Show what it does: start a platform, deploy functions, call them, bill them.
    Demo(DemoArguments),
    /// Make a function with a URL of a folder of code, or update it.
    Deploy(DeployArguments),
    /// Invoke a function and print its answer.
    Invoke(InvokeArguments),
    /// Print what a function said.
    Logs(LogsArguments),
    /// List the functions.
    Functions(FunctionsArguments),
    /// List the queues, with how many messages are in them.
    Queues(QueuesArguments),
    /// Print the bill, by function and day.
    Usage(UsageArguments),
    /// List or install what functions run on.
    #[command(subcommand)]
    Runtimes(RuntimesCommand),
}

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Address and port to serve on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:4566", value_name = "ADDRESS:PORT")]
    pub listen: String,
    /// What separates functions from the host and from each other.
    #[arg(long, env = "LAMBENT_ISOLATION", default_value = "jail")]
    pub isolation: Isolation,
    /// End when everything has been shown, instead of leaving the platform running.
    #[arg(long)]
    pub exit: bool,
}

#[derive(Debug, Args)]
pub struct DeployArguments {
    /// The folder with the code.
    pub folder: PathBuf,
    /// The function's name; the folder's own by default.
    #[arg(long)]
    pub name: Option<String>,
    /// E.g. python3.13; by default what the code looks like, in the newest version there is.
    #[arg(long)]
    pub runtime: Option<String>,
    /// E.g. app.handler.
    #[arg(long)]
    pub handler: Option<String>,
    /// Memory in MB, which also sets the share of a CPU.
    #[arg(long, value_name = "MB")]
    pub memory: Option<u32>,
    /// How long a request may take.
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u32>,
    /// A variable of the function's environment. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub env: Vec<(String, String)>,
    /// The role that the function has.
    #[arg(long, value_name = "ARN")]
    pub role: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct InvokeArguments {
    /// The function's name or ARN.
    pub name: String,
    /// The event: JSON, @FILE, or - for stdin. {} by default.
    #[arg(value_name = "PAYLOAD")]
    positional: Option<String>,
    /// The same as an option.
    #[arg(
        long = "payload",
        value_name = "PAYLOAD",
        conflicts_with = "positional"
    )]
    option: Option<String>,
    /// Print the invocation's log to stderr.
    #[arg(long)]
    pub log: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl InvokeArguments {
    pub fn payload(&self) -> Option<&str> {
        self.positional.as_deref().or(self.option.as_deref())
    }
}

#[derive(Debug, Args)]
pub struct LogsArguments {
    /// The function's name.
    pub name: String,
    /// Go on with what the function says from now on.
    #[arg(long, short)]
    pub follow: bool,
    /// How far back to begin: 30s, 10m, 2h, 1d.
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = crate::commands::logs::duration)]
    pub since: Duration,
    /// Print a JSON object a line.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct FunctionsArguments {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct QueuesArguments {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct UsageArguments {
    /// Days to show, today included.
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3660))]
    pub days: u16,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum RuntimesCommand {
    /// Show which runtimes a platform started here would have, and what they run on.
    List(RuntimesListArguments),
    /// Bring the interpreter of a runtime, if the machine has none, and its AWS SDK.
    Install(RuntimesInstallArguments),
}

/// Where interpreters and packages come from, where that is not found out.
#[derive(Debug, Default, Args)]
pub struct RuntimeOptions {
    /// An interpreter for a runtime, where the one found is not the one to be used. May be repeated.
    #[arg(
        long = "runtime",
        env = "LAMBENT_RUNTIMES",
        value_delimiter = ',',
        value_name = "NAME=PATH"
    )]
    pub runtimes: Vec<String>,
    /// Packages that all functions in Python find behind their own, as boto3 in Lambda: what
    /// `pip install --target DIRECTORY boto3` makes.
    #[arg(long, env = "LAMBENT_PYTHON_PACKAGES", value_name = "DIRECTORY")]
    pub python_packages: Option<PathBuf>,
    /// The same for Node.js: where `npm install --prefix DIRECTORY @aws-sdk/client-sqs` has made a
    /// node_modules.
    #[arg(long, env = "LAMBENT_NODE_PACKAGES", value_name = "DIRECTORY")]
    pub node_packages: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RuntimesListArguments {
    /// The platform's data directory.
    #[arg(
        long,
        env = "LAMBENT_DATA",
        default_value = "./lambent-data",
        value_name = "DIRECTORY"
    )]
    pub data: PathBuf,
    #[command(flatten)]
    pub options: RuntimeOptions,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RuntimesInstallArguments {
    /// E.g. python3.13 or nodejs22.x.
    pub name: String,
    /// The platform's data directory.
    #[arg(
        long,
        env = "LAMBENT_DATA",
        default_value = "./lambent-data",
        value_name = "DIRECTORY"
    )]
    pub data: PathBuf,
    /// Bring an interpreter even if the machine has one.
    #[arg(long)]
    pub interpreter: bool,
    /// A package for all functions beside the SDK, as pip or npm name it. May be repeated.
    #[arg(long = "package", value_name = "PACKAGE")]
    pub packages: Vec<String>,
    #[command(flatten)]
    pub options: RuntimeOptions,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not NAME=VALUE")),
    }
}

#[derive(Debug, Args)]
pub struct UpArguments {
    /// Address and port to serve on; port 0 takes a free one. Beyond loopback it needs
    /// credentials.
    #[arg(
        long,
        env = "LAMBENT_LISTEN",
        default_value = "127.0.0.1:4566",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: String,
    /// How clients reach it, where that is not http://localhost: function URLs and links to code
    /// begin so.
    #[arg(long, env = "LAMBENT_URL", value_name = "URL")]
    pub url: Option<String>,
    /// Where functions, logs and usage are kept.
    #[arg(
        long,
        env = "LAMBENT_DATA",
        default_value = "./lambent-data",
        value_name = "DIRECTORY"
    )]
    pub data: PathBuf,
    /// A PostgreSQL to keep the definitions in, instead of a file in the data directory.
    #[arg(
        long,
        env = "LAMBENT_STORE",
        hide_env_values = true,
        value_name = "postgres://…"
    )]
    pub store: Option<String>,
    /// What separates functions from the host and from each other.
    #[arg(long, env = "LAMBENT_ISOLATION", default_value = "jail")]
    pub isolation: Isolation,
    /// Access keys that may call, in the form of ~/.aws/credentials. Without, any may.
    #[arg(long, env = "LAMBENT_CREDENTIALS", value_name = "FILE")]
    pub credentials: Option<PathBuf>,
    /// Environments that an account may have busy at once.
    #[arg(
        long,
        env = "LAMBENT_ACCOUNT_CONCURRENCY",
        default_value_t = 1000,
        value_name = "N"
    )]
    pub account_concurrency: u32,
    /// Environments of a function that may be started each 10 seconds.
    #[arg(
        long,
        env = "LAMBENT_SCALING_RATE",
        default_value_t = 1000,
        value_name = "N"
    )]
    pub scaling_rate: u32,
    /// How long an environment without work is kept before it is stopped.
    #[arg(
        long,
        env = "LAMBENT_KEEP_ALIVE",
        default_value_t = 600.0,
        value_name = "SECONDS"
    )]
    pub keep_alive: f64,
    /// Services of this machine that functions may reach, as host.lambent.internal:PORT; several,
    /// or with commas. Without, they reach none.
    #[arg(
        long,
        env = "LAMBENT_HOST_SERVICES",
        value_delimiter = ',',
        value_name = "ADDRESS:PORT"
    )]
    pub host_services: Vec<String>,
    #[command(flatten)]
    pub runtimes: RuntimeOptions,
    /// A directory below which images may lie that functions are made of (`oci:/…`,
    /// `docker-archive:/…`). Without, images come from registries only.
    #[arg(long, env = "LAMBENT_IMAGES", value_name = "DIRECTORY")]
    pub images: Option<PathBuf>,
    /// Names and passwords for registries of images, as `docker login` keeps them in
    /// ~/.docker/config.json.
    #[arg(long, env = "LAMBENT_REGISTRY_CREDENTIALS", value_name = "FILE")]
    pub registry_credentials: Option<PathBuf>,
    /// Prices to bill by, as JSON; Lambda's own by default.
    #[arg(long, env = "LAMBENT_PRICES", value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// How long running requests are waited for at the end.
    #[arg(
        long,
        env = "LAMBENT_DRAIN",
        default_value_t = 20.0,
        value_name = "SECONDS"
    )]
    pub drain: f64,
    /// How the platform's own log is written (to stderr).
    #[arg(long, env = "LAMBENT_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// What the platform's own log has, e.g. `debug` or `warn,platform=debug`.
    #[arg(
        long,
        env = "LAMBENT_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Isolation {
    /// Namespaces, control groups, system call filter: the default.
    Jail,
    /// None at all: functions run with the platform's own rights. For code you trust with the
    /// machine.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn up_has_defaults_for_everything() {
        let Command::Up(up) = Arguments::parse_from(["lambent", "up"]).command else {
            unreachable!("it is `up`");
        };
        assert_eq!(up.listen, "127.0.0.1:4566");
        assert_eq!(up.isolation, Isolation::Jail);
        assert_eq!(up.credentials, None);
    }

    #[test]
    fn a_payload_has_two_places() {
        for words in [
            &["invoke", "f", "1"][..],
            &["invoke", "f", "--payload", "1"],
        ] {
            let all = ["lambent"].iter().chain(words);
            let Command::Invoke(invoke) = Arguments::parse_from(all).command else {
                unreachable!("it is `invoke`");
            };
            assert_eq!(invoke.payload(), Some("1"));
        }
        let both = ["lambent", "invoke", "f", "1", "--payload", "2"];
        assert!(Arguments::try_parse_from(both).is_err());
    }
}
