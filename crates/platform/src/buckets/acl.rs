//! Access control lists: who may do what beside the owner, where a bucket's ownership allows them.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use super::content::intake::hex;

/// The grants; empty is private to its owner alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acl {
    /// An account.
    pub owner: String,
    pub grants: Vec<Grant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub to: Grantee,
    pub permission: Permission,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grantee {
    /// A canonical user id.
    User(String),
    Group(Group),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Group {
    AllUsers,
    AuthenticatedUsers,
    LogDelivery,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Permission {
    FullControl,
    Write,
    WriteAcp,
    Read,
    ReadAcp,
}

const GROUPS: [(Group, &str); 3] = [
    (
        Group::AllUsers,
        "http://acs.amazonaws.com/groups/global/AllUsers",
    ),
    (
        Group::AuthenticatedUsers,
        "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
    ),
    (
        Group::LogDelivery,
        "http://acs.amazonaws.com/groups/s3/LogDelivery",
    ),
];

impl Group {
    pub fn of_uri(uri: &str) -> Option<Self> {
        let mut all = GROUPS.into_iter();
        all.find(|(_, known)| *known == uri).map(|(group, _)| group)
    }

    pub fn uri(self) -> &'static str {
        let mut all = GROUPS.into_iter();
        all.find(|(group, _)| *group == self)
            .map_or("", |(_, uri)| uri)
    }
}

impl Permission {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "FULL_CONTROL" => Some(Self::FullControl),
            "WRITE" => Some(Self::Write),
            "WRITE_ACP" => Some(Self::WriteAcp),
            "READ" => Some(Self::Read),
            "READ_ACP" => Some(Self::ReadAcp),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::FullControl => "FULL_CONTROL",
            Self::Write => "WRITE",
            Self::WriteAcp => "WRITE_ACP",
            Self::Read => "READ",
            Self::ReadAcp => "READ_ACP",
        }
    }
}

/// The id that S3 knows an account by.
pub fn canonical_id(account_id: &str) -> String {
    let text = format!("canonical user {account_id}");
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// Whether a text can be one: 64 hexadecimal digits.
pub fn is_canonical_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Acl {
    pub fn private(owner: &str) -> Self {
        Self {
            owner: owner.to_owned(),
            grants: vec![Grant {
                to: Grantee::User(canonical_id(owner)),
                permission: Permission::FullControl,
            }],
        }
    }

    /// One of S3's canned ones; none if there is none of this name. `bucket_owner` is an account.
    pub fn canned(name: &str, owner: &str, bucket_owner: &str) -> Option<Self> {
        let mut acl = Self::private(owner);
        let mut grant = |to: Grantee, permission| acl.grants.push(Grant { to, permission });
        let all = || Grantee::Group(Group::AllUsers);
        let of_bucket = || Grantee::User(canonical_id(bucket_owner));
        match name {
            "private" | "aws-exec-read" => {}
            "public-read" => grant(all(), Permission::Read),
            "public-read-write" => {
                grant(all(), Permission::Read);
                grant(all(), Permission::Write);
            }
            "authenticated-read" => {
                grant(Grantee::Group(Group::AuthenticatedUsers), Permission::Read)
            }
            "log-delivery-write" => {
                let logs = || Grantee::Group(Group::LogDelivery);
                grant(logs(), Permission::Write);
                grant(logs(), Permission::ReadAcp);
            }
            "bucket-owner-read" if owner != bucket_owner => grant(of_bucket(), Permission::Read),
            "bucket-owner-full-control" if owner != bucket_owner => {
                grant(of_bucket(), Permission::FullControl)
            }
            "bucket-owner-read" | "bucket-owner-full-control" => {}
            _ => return None,
        }
        Some(acl)
    }

    /// Whether it lets everybody in, or everybody with an account anywhere.
    pub fn is_public(&self) -> bool {
        let public = [Group::AllUsers, Group::AuthenticatedUsers];
        self.grants
            .iter()
            .any(|grant| matches!(grant.to, Grantee::Group(group) if public.contains(&group)))
    }

    /// Whether an account, or nobody in particular, may do this by its grants.
    pub fn allows(&self, account_id: Option<&str>, wanted: Permission, with_public: bool) -> bool {
        let is_meant = |grantee: &Grantee| match grantee {
            Grantee::User(id) => account_id.is_some_and(|account| canonical_id(account) == *id),
            Grantee::Group(Group::AllUsers) => with_public,
            Grantee::Group(Group::AuthenticatedUsers) => with_public && account_id.is_some(),
            Grantee::Group(Group::LogDelivery) => false,
        };
        self.grants.iter().any(|grant| {
            let permits = [wanted, Permission::FullControl].contains(&grant.permission);
            permits && is_meant(&grant.to)
        })
    }
}
