//! From the command line as given to a configuration that is checked, once, at start.

use std::{
    env, fs,
    net::{SocketAddr, ToSocketAddrs},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use platform::{
    functions::{
        images::{self, ImagesConfig},
        runtimes::{Configured, Packages},
    },
    identity::{self, Credential},
    metering::Prices,
};

use crate::args::{Isolation, LogFormat, RuntimeOptions, UpArguments};

/// Names in the environment for one access key, where a file would be too much.
const ACCESS_KEY_ID: &str = "LAMBENT_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "LAMBENT_SECRET_ACCESS_KEY";
const ACCOUNT_ID: &str = "LAMBENT_ACCOUNT_ID";

/// A platform that can be started.
#[derive(Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// How clients reach it, where that is not by the name `localhost`.
    pub url: Option<String>,
    /// Absolute; exists.
    pub data: PathBuf,
    /// A directory, or `postgres://…`.
    pub store: String,
    pub isolation: Isolation,
    /// None: development mode.
    pub credentials: Vec<Credential>,
    pub account_concurrency: u32,
    pub scaling_rate: u32,
    pub keep_alive: Duration,
    /// Services of this machine that functions may reach, each at a port of its own.
    pub host_services: Vec<SocketAddr>,
    pub interpreters: Configured,
    pub packages: Packages,
    pub images: ImagesConfig,
    pub prices: Prices,
    pub drain: Duration,
    pub log_format: LogFormat,
    pub log: String,
    /// What is allowed but should be known.
    pub warnings: Vec<String>,
}

impl Config {
    pub fn checked(given: UpArguments) -> Result<Self> {
        let listen = address(&given.listen)?;
        let mut warnings = Vec::new();
        let credentials = credentials(given.credentials.as_deref(), &mut warnings)?;
        ensure!(
            listen.ip().is_loopback() || !credentials.is_empty(),
            "listening on {listen}, beyond loopback, needs credentials: anybody could run programs \
             here. Name a file of access keys with --credentials, or set {ACCESS_KEY_ID} and \
             {SECRET_ACCESS_KEY}."
        );
        ensure!(
            given.account_concurrency > 0,
            "--account-concurrency has to be at least 1"
        );
        ensure!(
            given.scaling_rate > 0,
            "--scaling-rate has to be at least 1"
        );
        let data = directory(&given.data, &mut warnings)?;
        Ok(Config {
            listen,
            url: given.url.map(url).transpose()?,
            store: store(given.store, &data)?,
            data,
            isolation: given.isolation,
            credentials,
            account_concurrency: given.account_concurrency,
            scaling_rate: given.scaling_rate,
            keep_alive: seconds("--keep-alive", given.keep_alive)?,
            host_services: host_services(&given.host_services, listen)?,
            interpreters: interpreters(&given.runtimes.runtimes)?,
            packages: all_packages(given.runtimes)?,
            images: images(given.images, given.registry_credentials.as_deref())?,
            prices: prices(given.prices.as_deref())?,
            drain: seconds("--drain", given.drain)?,
            log_format: given.log_format,
            log: given.log,
            warnings,
        })
    }
}

fn address(text: &str) -> Result<SocketAddr> {
    let mut found = text.to_socket_addrs().with_context(|| {
        format!("--listen {text} is no address and port, such as 127.0.0.1:4566")
    })?;
    found
        .next()
        .with_context(|| format!("--listen {text}: the name has no address"))
}

/// Functions find them by their ports alone, at an address whose port 53 is a name server's. The
/// platform itself is none of them: functions have their own way to it.
fn host_services(given: &[String], listen: SocketAddr) -> Result<Vec<SocketAddr>> {
    const DNS_PORT: u16 = 53;
    let mut found: Vec<SocketAddr> = Vec::new();
    for text in given.iter().filter(|text| !text.is_empty()) {
        let Ok(service) = text.parse::<SocketAddr>() else {
            bail!("--host-services {text}: it is an address and a port, such as 127.0.0.1:5432");
        };
        let port = service.port();
        ensure!(
            port != 0 && port != DNS_PORT,
            "--host-services {text}: port {port} cannot be opened to functions"
        );
        ensure!(
            port != listen.port(),
            "--host-services {text}: this is the platform's own port"
        );
        ensure!(
            found.iter().all(|other| other.port() != port),
            "--host-services {text}: functions find a service by its port, and two have this one"
        );
        found.push(service);
    }
    Ok(found)
}

fn url(text: String) -> Result<String> {
    let parsed = text.parse::<http::Uri>().ok();
    let good = parsed.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.path_and_query().is_none_or(|rest| rest == "/")
    });
    ensure!(
        good,
        "--url {text} is no address such as https://functions.example.org"
    );
    Ok(text.trim_end_matches('/').to_owned())
}

fn seconds(option: &str, seconds: f64) -> Result<Duration> {
    const A_WEEK: f64 = 604_800.0;
    ensure!(
        (0.0..=A_WEEK).contains(&seconds),
        "{option} {seconds}: from 0 to {A_WEEK} seconds"
    );
    Ok(Duration::from_secs_f64(seconds))
}

fn store(given: Option<String>, data: &Path) -> Result<String> {
    match given {
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => Ok(url),
        // Not quoted: there may be a password in it.
        Some(_) => bail!("--store takes an address that begins with postgres://"),
        None => match data.join("store").to_str() {
            Some(path) => Ok(path.to_owned()),
            None => bail!("--data {}: the path has to be text", data.display()),
        },
    }
}

pub fn all_packages(given: RuntimeOptions) -> Result<Packages> {
    Ok(Packages {
        python: packages("--python-packages", given.python_packages)?,
        node: packages("--node-packages", node_modules(given.node_packages))?,
    })
}

pub fn interpreters(given: &[String]) -> Result<Configured> {
    let one = |text: &String| match text.split_once('=') {
        Some((name, path)) if Path::new(path).is_absolute() => {
            Ok((name.to_owned(), PathBuf::from(path)))
        }
        _ => bail!(
            "--runtime {text}: it is a name and an absolute path, such as python3.13=/usr/bin/python3.13"
        ),
    };
    given
        .iter()
        .filter(|text| !text.is_empty())
        .map(one)
        .collect()
}

/// Absolute, and surely there: functions would only miss what is in it.
fn packages(option: &str, given: Option<PathBuf>) -> Result<Option<PathBuf>> {
    let Some(given) = given else { return Ok(None) };
    let shown = given.display();
    let found = given
        .canonicalize()
        .with_context(|| format!("{option} {shown}"))?;
    ensure!(found.is_dir(), "{option} {shown}: it is no directory");
    Ok(Some(found))
}

fn images(directory: Option<PathBuf>, credentials: Option<&Path>) -> Result<ImagesConfig> {
    let credentials = match credentials {
        None => images::Credentials::default(),
        Some(file) => {
            let read = || Ok::<_, anyhow::Error>(fs::read_to_string(file)?);
            let what = || format!("read the registries' credentials in {}", file.display());
            let text = read().with_context(what)?;
            images::Credentials::parse(&text).with_context(what)?
        }
    };
    Ok(ImagesConfig {
        directory: packages("--images", directory)?,
        credentials,
    })
}

/// What npm makes in a directory, or that itself.
fn node_modules(given: Option<PathBuf>) -> Option<PathBuf> {
    given.map(|given| match given.ends_with("node_modules") {
        true => given,
        false => given.join("node_modules"),
    })
}

fn prices(file: Option<&Path>) -> Result<Prices> {
    let Some(file) = file else {
        return Ok(Prices::default());
    };
    let read = || Ok::<_, anyhow::Error>(Prices::parse(&fs::read_to_string(file)?)?);
    read().with_context(|| format!("read the prices in {}", file.display()))
}

/// Nobody else may look into it: there are secrets in function variables.
pub fn directory(given: &Path, warnings: &mut Vec<String>) -> Result<PathBuf> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(given)
        .with_context(|| format!("make the data directory {}", given.display()))?;
    let found = given.canonicalize().and_then(|path| {
        let mode = fs::metadata(&path)?.mode();
        Ok((path, mode))
    });
    let (path, mode) =
        found.with_context(|| format!("find the data directory {}", given.display()))?;
    if mode & 0o077 != 0 {
        warnings.push(format!(
            "the data directory {} can be read by others (mode {:o}); chmod 700 it",
            path.display(),
            mode & 0o777
        ));
    }
    Ok(path)
}

fn credentials(file: Option<&Path>, warnings: &mut Vec<String>) -> Result<Vec<Credential>> {
    if let Some(file) = file {
        let read = identity::read_file(file)
            .with_context(|| format!("read the credentials in {}", file.display()))?;
        let mode = fs::metadata(file).map_or(0, |metadata| metadata.mode());
        if mode & 0o077 != 0 {
            warnings.push(format!(
                "the credentials file {} can be read by others (mode {:o}); chmod 600 it",
                file.display(),
                mode & 0o777
            ));
        }
        return Ok(read);
    }
    match (env::var(ACCESS_KEY_ID), env::var(SECRET_ACCESS_KEY)) {
        (Ok(id), Ok(secret)) => {
            let account = env::var(ACCOUNT_ID);
            let account = account.as_deref().unwrap_or(identity::DEFAULT_ACCOUNT);
            let credential = Credential::checked(&id, &secret, account);
            match credential {
                Ok(credential) => Ok(vec![credential]),
                Err(wrong) => bail!("the credential of {ACCESS_KEY_ID} {wrong}"),
            }
        }
        (Err(_), Err(_)) => Ok(Vec::new()),
        _ => bail!("of {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY} only one is set"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    fn checked(arguments: &[&str]) -> Result<Config> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = dir.path().join("data");
        let data = data.to_str().expect("it is text");
        let all = ["lambent", "up", "--data", data].into_iter();
        match Arguments::parse_from(all.chain(arguments.iter().copied())).command {
            Command::Up(up) => Config::checked(up),
            _ => unreachable!("it is `up`"),
        }
    }

    #[test]
    fn beyond_loopback_it_wants_credentials() {
        assert!(checked(&["--listen", "127.0.0.1:0"]).is_ok());
        assert!(checked(&["--listen", "[::1]:0"]).is_ok());
        let refused = checked(&["--listen", "0.0.0.0:0"]).expect_err("it is refused");
        assert!(refused.to_string().contains("--credentials"));
    }

    #[test]
    fn a_directory_that_others_can_read_is_told() {
        use std::{fs::Permissions, os::unix::fs::PermissionsExt};
        let dir = tempfile::tempdir().expect("a temporary directory");
        let warned = |mode| {
            fs::set_permissions(dir.path(), Permissions::from_mode(mode)).expect("it is ours");
            let mut warnings = Vec::new();
            directory(dir.path(), &mut warnings).expect("it is there");
            warnings.concat()
        };
        assert!(warned(0o755).contains("chmod 700"));
        assert_eq!(warned(0o700), "");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (arguments, expect) in [
            (["--listen", "nonsense"], "--listen"),
            (["--keep-alive", "-1"], "--keep-alive"),
            (["--drain", "nan"], "--drain"),
            (["--account-concurrency", "0"], "--account-concurrency"),
            (["--store", "mysql://root:hunter2@x"], "--store"),
            (["--credentials", "/nowhere"], "/nowhere"),
            (["--images", "/nowhere"], "--images"),
            (["--registry-credentials", "/nowhere"], "/nowhere"),
            (["--python-packages", "/nowhere"], "--python-packages"),
            (["--node-packages", "/"], "--node-packages"),
            (["--python-packages", "/nowhere"], "--python-packages"),
            (["--node-packages", "/"], "--node-packages"),
            (["--host-services", "localhost"], "--host-services"),
            (["--host-services", "127.0.0.1:53"], "port 53"),
            (["--host-services", "127.0.0.1:4566"], "platform's own"),
            (["--host-services", "127.0.0.1:1,10.0.0.1:1"], "two have"),
            (["--url", "functions.example.org"], "--url"),
            (["--url", "https://functions.example.org/below"], "--url"),
        ] {
            let arguments = [&[format!("{}={}", arguments[0], arguments[1])][..]].concat();
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let said = format!("{:#}", checked(&arguments).expect_err("it is refused"));
            assert!(said.contains(expect), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
