//! The command line, as given. The doc comments are the manual.

use std::path::PathBuf;

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
    /// How long an environment without work is kept before it is stopped.
    #[arg(
        long,
        env = "LAMBENT_KEEP_ALIVE",
        default_value_t = 600.0,
        value_name = "SECONDS"
    )]
    pub keep_alive: f64,
    /// An interpreter for a runtime, where the one found is not the one to be used. May be repeated.
    #[arg(long = "runtime", env = "LAMBENT_RUNTIMES", value_delimiter = ',', value_name = "NAME=PATH")]
    pub runtimes: Vec<String>,
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
        let Command::Up(up) = Arguments::parse_from(["lambent", "up"]).command;
        assert_eq!(up.listen, "127.0.0.1:4566");
        assert_eq!(up.isolation, Isolation::Jail);
        assert_eq!(up.credentials, None);
    }
}
