//! The credentials that the platform takes: a file in the form of `~/.aws/credentials`, so that one
//! file serves both sides. `aws_account_id` names the account of a key. Anything unknown is
//! refused rather than left out.

use std::{fmt, path::Path};

use super::DEFAULT_ACCOUNT;

/// One access key and the account it belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub account_id: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("access_key_id", &self.access_key_id)
            .field("account_id", &self.account_id)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a credentials file. Never quotes it: what is on a wrong line may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("the credentials file cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("the credentials file's line {0}: {1}")]
    Line(usize, &'static str),
    #[error("the credentials file's profile [{0}] {1}")]
    Profile(String, &'static str),
    #[error("the credentials file holds no credentials")]
    Empty,
}

/// All profiles of a file.
pub fn read_file(path: &Path) -> Result<Vec<Credential>, CredentialsError> {
    parse(&std::fs::read_to_string(path)?)
}

#[derive(Default)]
struct Profile {
    name: String,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    account_id: Option<String>,
}

fn parse(text: &str) -> Result<Vec<Credential>, CredentialsError> {
    let mut profiles: Vec<Profile> = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            profiles.push(Profile {
                name: name.trim().to_owned(),
                ..Profile::default()
            });
            continue;
        }
        let wrong = |what| CredentialsError::Line(number, what);
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| wrong("neither [profile] nor name = value"))?;
        let profile = profiles
            .last_mut()
            .ok_or_else(|| wrong("stands before the first [profile]"))?;
        let place = match key.trim() {
            "aws_access_key_id" => &mut profile.access_key_id,
            "aws_secret_access_key" => &mut profile.secret_access_key,
            "aws_account_id" => &mut profile.account_id,
            _ => {
                return Err(wrong(
                    "none of aws_access_key_id, aws_secret_access_key, aws_account_id",
                ));
            }
        };
        if place.replace(value.trim().to_owned()).is_some() {
            return Err(wrong("is there twice"));
        }
    }
    let credentials = profiles
        .into_iter()
        .map(Profile::checked)
        .collect::<Result<Vec<_>, _>>()?;
    if credentials.is_empty() {
        return Err(CredentialsError::Empty);
    }
    Ok(credentials)
}

impl Profile {
    fn checked(self) -> Result<Credential, CredentialsError> {
        let wrong = |what| CredentialsError::Profile(self.name.clone(), what);
        let filled = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let access_key_id =
            filled(&self.access_key_id).ok_or_else(|| wrong("has no aws_access_key_id"))?;
        let secret_access_key =
            filled(&self.secret_access_key).ok_or_else(|| wrong("has no aws_secret_access_key"))?;
        let account_id = self.account_id.as_deref().unwrap_or(DEFAULT_ACCOUNT);
        Credential::checked(&access_key_id, &secret_access_key, account_id).map_err(wrong)
    }
}

impl Credential {
    /// A credential if it is one; the error goes after the name of where it came from.
    pub fn checked(id: &str, secret: &str, account_id: &str) -> Result<Self, &'static str> {
        let digits = account_id.bytes().all(|b| b.is_ascii_digit());
        if account_id.len() != 12 || !digits {
            return Err("has an account id that is not twelve digits");
        }
        let graphic = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        if id.is_empty() || id.contains(['/', ',', '=']) || !graphic(id) {
            return Err("has an access key id with characters that no signature can carry");
        }
        if secret.is_empty() {
            return Err("has an empty secret access key");
        }
        Ok(Credential {
            access_key_id: id.to_owned(),
            secret_access_key: secret.to_owned(),
            account_id: account_id.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read() {
        let text = "# mine\n[default]\naws_access_key_id = AKIA\naws_secret_access_key=a=b\n\n\
                    [other]\naws_access_key_id=B\naws_secret_access_key=c\naws_account_id=123456789012\n";
        let read = parse(text).expect("it is well-formed");
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].secret_access_key, "a=b");
        assert_eq!(read[0].account_id, DEFAULT_ACCOUNT);
        assert_eq!(read[1].account_id, "123456789012");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (text, expect) in [
            ("", "holds no credentials"),
            ("aws_access_key_id=A", "line 1"),
            ("[a]\nSECRET", "line 2"),
            ("[a]\nregion=SECRET", "line 2"),
            (
                "[a]\naws_access_key_id=A",
                "[a] has no aws_secret_access_key",
            ),
            (
                "[a]\naws_access_key_id=A\naws_secret_access_key=SECRET\naws_account_id=1",
                "twelve digits",
            ),
            (
                "[a]\naws_access_key_id=A\naws_secret_access_key=SECRET\naws_secret_access_key=SECRET",
                "twice",
            ),
        ] {
            let said = parse(text).expect_err(text).to_string();
            assert!(said.contains(expect), "{said}");
            assert!(!said.contains("SECRET"), "{said}");
        }
    }
}
